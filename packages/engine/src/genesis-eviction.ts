/** Geneses kept: each holds some hundred megabytes, and anybody who creates sprites may ask for a new combination of sizes. */
export const genesesKept = 16;

/** Of these one organization may have so many to itself while others want the room. */
export const genesesPerOrg = 4;

/** Who used a genesis since the start: the id of one organization, null for several. */
export type GenesisUser = string | null;

/**
 * Which geneses go so that {@link genesesKept} are left, first what nobody used since the start, such as those of other guests and images; then what one organization alone used, of whoever has most beyond {@link genesesPerOrg};
 * then whatever was used longest ago. `recent`: least recently used first. `spared` ones stay.
 */
export function genesesToRemove(
  keys: readonly string[],
  recent: ReadonlyMap<string, GenesisUser>,
  spared: (key: string) => boolean,
): string[] {
  const left = new Set(keys);
  const removed: string[] = [];
  const byAge = [...recent.keys()];
  while (left.size > genesesKept) {
    const candidates = [...left].filter((key) => !spared(key));
    const greedy = greediest(left, recent);
    const key =
      candidates.find((each) => !recent.has(each)) ??
      byAge.find((each) => candidates.includes(each) && (greedy === undefined || recent.get(each) === greedy)) ??
      byAge.find((each) => candidates.includes(each));
    if (key === undefined) break;
    left.delete(key);
    removed.push(key);
  }
  return removed;
}

/** The organization that has most geneses to itself, if these are too many. */
function greediest(keys: ReadonlySet<string>, recent: ReadonlyMap<string, GenesisUser>): string | undefined {
  const counts = new Map<string, number>();
  for (const key of keys) {
    const user = recent.get(key);
    if (typeof user === 'string') counts.set(user, (counts.get(user) ?? 0) + 1);
  }
  const [most] = [...counts].toSorted(([, one], [, other]) => other - one);
  return most !== undefined && most[1] > genesesPerOrg ? most[0] : undefined;
}
