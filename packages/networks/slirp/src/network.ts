import { guestMac, type HostNetwork, type NetworkAttachment, type NetworkGuest } from '@sylph/engine';
import { lowerFence, raiseFence, type UidRange } from './fence.ts';

/**
 * The guest's world, the same for every sprite and in every kind of network. To the guest 10.0.0.2 is its gateway and its resolver. The stack tells the two apart; it takes packets for elsewhere from anyone, so its resolver is what has
 * the address, and its gateway has one nobody uses.
 */
export const guestNet = {
  subnet: '10.0.0.0/24',
  guestAddress: '10.0.0.1',
  gateway: '10.0.0.254',
  dns: '10.0.0.2',
} as const;

/**
 * User-mode networking in the hypervisor, fenced by the host's packet filter. Where the fence cannot be put up, guests have no way out: what cannot be enforced is refused.
 * It knows no policies: a sprite that has one gets no way out either.
 */
export class SlirpNetwork implements HostNetwork {
  readonly #range: UidRange;
  readonly #mode: 'auto' | 'none';
  readonly #because: string;
  #obstacle: string | undefined = 'the network is not open yet';

  /** `range`: host users of VMs. `none`: no way out for anyone. `because`: why it is this network and not a better one, where nobody asked for it. */
  constructor(range: UidRange, mode: 'auto' | 'none', because?: string) {
    this.#range = range;
    this.#mode = mode;
    this.#because = because === undefined ? '' : `; not namespaces: ${because}`;
  }

  async open(): Promise<void> {
    this.#obstacle = this.#mode === 'none' ? 'switched off by configuration' : await raiseFence(this.#range);
  }

  async close({ vmsRemain }: { vmsRemain: boolean }): Promise<void> {
    if (!vmsRemain) await lowerFence(this.#range);
  }

  get policyObstacle(): string {
    return this.#mode === 'none'
      ? 'the network is switched off'
      : `its sprites use user-mode networking${this.#because}`;
  }

  describe(): Promise<{ kind: string; note: string }> {
    const note =
      this.#obstacle === undefined
        ? 'user mode: sprites reach the internet, never this host or private addresses; no policy per sprite'
        : `user mode without a way out: ${this.#obstacle}`;
    return Promise.resolve({ kind: 'user', note: `${note}${this.#because}` });
  }

  async attach({ policy }: Pick<NetworkGuest, 'policy'>): Promise<NetworkAttachment> {
    const restricted = this.#obstacle !== undefined || (await policy()).rules.length > 0;
    return { kind: 'user', restricted, mac: guestMac, ...guestNet };
  }

  adopt(): Promise<void> {
    return Promise.resolve();
  }

  /** A way out cannot be opened or closed while a VM runs: its next start does. */
  refresh(): Promise<void> {
    return Promise.resolve();
  }

  detach(): Promise<void> {
    return Promise.resolve();
  }

  takeDenials(): Promise<[]> {
    return Promise.resolve([]);
  }

  sweep(): Promise<void> {
    return Promise.resolve();
  }
}
