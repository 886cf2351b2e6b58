/** Works through a list, a few items at a time. */
export async function inParallel<T>(
  parallelism: number,
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: parallelism }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}
