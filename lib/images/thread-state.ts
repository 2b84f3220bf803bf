/** Where a thread is, in memory that both sides write: only one of them can be the first to change it. */
export const ThreadState = {
  /** Not in sharp: the thread may be ended. */
  interruptible: 0,
  inSharp: 1,
  /** Nobody waits for the picture any more: it must not go into sharp. */
  abandoned: 2,
} as const;
