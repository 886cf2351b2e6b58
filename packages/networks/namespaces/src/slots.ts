import fs from 'node:fs/promises';
import { SylphError } from '@sylph/model';
import { links } from './instance.ts';
import { slotNumber, slotOf, type Instance, type Slot } from './plan.ts';
import { makeSlot, namespaceIdentity, removeSlot } from './slot.ts';
import type { SlotRules } from './slot-table.ts';
import { namespaceDir, namespaceFile } from './tools.ts';

/** The slots of an instance: makes and removes them, and hands out their numbers, each as late as possible after it was used. */
export class Slots {
  readonly #instance: Instance;
  readonly #rules: SlotRules;
  readonly #used = new Set<number>();
  #next = 0;

  constructor(instance: Instance, rules: SlotRules) {
    this.#instance = instance;
    this.#rules = rules;
  }

  /** Slots an earlier daemon made: known by their links, which are in our own namespace, while the directory of namespaces may be shared with another host's. Their numbers are in use from now on. */
  async inherited(): Promise<Slot[]> {
    const found: Slot[] = [];
    for (const { ifname } of await links()) {
      const number = slotNumber(this.#instance, ifname);
      if (number === undefined || number >= this.#instance.slots) continue;
      this.#used.add(number);
      found.push(slotOf(this.#instance, number));
    }
    return found;
  }

  /** Makes a slot that restricts nothing. Throws `host_unfit` when all addresses are in use. */
  async make(): Promise<Slot> {
    for (let tries = 0; tries < this.#instance.slots; tries++) {
      const number = this.#next;
      this.#next = (number + 1) % this.#instance.slots;
      if (this.#used.has(number)) continue;
      const slot = slotOf(this.#instance, number);
      this.#used.add(number);
      // Somebody else's: a daemon of another network namespace that shares the directory.
      if (await namespaceIdentity(namespaceFile(slot.name))) continue;
      try {
        await makeSlot(this.#instance, slot, this.#rules);
        return slot;
      } catch (error) {
        this.#used.delete(number);
        throw error;
      }
    }
    throw new SylphError('host_unfit', `all ${this.#instance.slots} slots of network-range are in use`, {
      hint: 'Give network-range a larger network.',
    });
  }

  async remove(slot: Slot): Promise<void> {
    await removeSlot(slot.name);
    this.#used.delete(slot.number);
  }
}

/** Identities of the namespaces processes are in now. */
export async function inhabited(): Promise<Set<string>> {
  const found = new Set<string>();
  for (const pid of await fs.readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const identity = await namespaceIdentity(`/proc/${pid}/ns/net`);
    if (identity !== undefined) found.add(identity);
  }
  return found;
}

/** Name of a namespace by its identity. */
export async function namespaceName(identity: string): Promise<string | undefined> {
  // No directory: nobody has made a namespace.
  for (const name of await fs.readdir(namespaceDir).catch(() => []))
    if ((await namespaceIdentity(namespaceFile(name))) === identity) return name;
  return undefined;
}
