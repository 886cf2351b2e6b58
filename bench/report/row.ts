import type { Summary } from './stats.ts';

/** A line of the result: the same thing measured with the product and with bare QEMU. */
export interface Row {
  title: string;
  unit: string;
  ours: number[];
  /** Empty where bare QEMU has nothing of the kind. */
  floor: number[];
  /** What the floor does in place of what the product does. */
  floorDoes: string;
  target?: Target;
}

/** What a figure is to reach, judged on medians. */
export interface Target {
  text: string;
  met: (ours: Summary, floor: Summary | undefined) => boolean;
}

/** At most so many times the floor. */
export function timesFloor(factor: number): Target {
  return {
    text: `≤ ${factor}× floor`,
    met: (ours, floor) => floor !== undefined && ours.median <= factor * floor.median,
  };
}

/** At least such a share of the floor, for rates. */
export function shareOfFloor(share: number): Target {
  return {
    text: `≥ ${share}× floor`,
    met: (ours, floor) => floor !== undefined && ours.median >= share * floor.median,
  };
}

/** At most so much more than the floor. */
export function aboveFloor(amount: number, unit: string): Target {
  return {
    text: `≤ floor + ${amount} ${unit}`,
    met: (ours, floor) => floor !== undefined && ours.median - floor.median <= amount,
  };
}

/** At most so much for 99 of 100, whatever the floor. */
export function p99AtMost(amount: number, unit: string): Target {
  return { text: `p99 ≤ ${amount} ${unit}`, met: (ours) => ours.p99 <= amount };
}

/** At most so much, whatever the floor. */
export function atMost(amount: number, unit: string): Target {
  return { text: `≤ ${amount} ${unit}`, met: (ours) => ours.median <= amount };
}
