import { Executor } from "./executor.js";
import { fromNative, native, type ValueHandle } from "./native.js";

/** The addon's handle of a value. */
let handleOfValue: (value: TorchValue) => ValueHandle;

/**
 * A value of TorchScript that lives in native memory, whatever its type: what a function made (`TorchFunctions.keep`), or a file's
 * tensors (`openTensors`). It may be an input of any function on any executor of the process, of several at once; no function may
 * change it while another reads it.
 */
export class TorchValue implements AsyncDisposable {
  readonly #handle: ValueHandle;
  readonly #executor: Executor;
  #disposed: Promise<void> | undefined;

  static {
    handleOfValue = (value) => value.#handle;
  }

  /** @param executor the thread that frees it. */
  constructor(handle: ValueHandle, executor: Executor) {
    this.#handle = handle;
    this.#executor = executor;
  }

  /** Frees the value when the calls made before are done; calls made later get `DISPOSED`. May be called twice. */
  dispose(): Promise<void> {
    this.#disposed ??= onThreadOf(this.#executor, ({ handle }) => native().releaseValue(handle, this.#handle));
    return this.#disposed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** Frees on an executor's thread, since to unmap gigabytes takes a while; on one of its own where that executor is closed. */
export async function onThreadOf(executor: Executor, free: (executor: Executor) => Promise<void>): Promise<void> {
  try {
    if (!executor.isClosed) {
      await free(executor);
      return;
    }
    await using another = new Executor();
    await free(another);
  } catch (error) {
    throw fromNative(error);
  }
}

export { handleOfValue };
