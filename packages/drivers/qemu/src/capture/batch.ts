/** Bytes of memory handled at once: large enough for the disk and the system call, small enough to stay in the cache of the CPU. */
export const batchBytes = 1 << 20;
