/** libuv's threads, which sharp shares with the file system, DNS and zlib; what libuv itself makes of the variable. */
const UV_THREADS = Math.min(Math.max(Number.parseInt(process.env.UV_THREADPOOL_SIZE ?? "4", 10) || 1, 1), 1024);

/**
 * How many pictures sharp may decode at a time in the whole process: half of libuv's threads, since what it has begun cannot be
 * interrupted, and files and names must be read meanwhile.
 */
export const SHARP_AT_A_TIME = Math.max(1, Math.floor(UV_THREADS / 2));
