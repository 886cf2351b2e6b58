import type { NetworkDenial, NetworkPolicy } from '@sylph/model';
import { guestMac, type HostNetwork, type NetworkAttachment, type NetworkGuest } from '../interfaces/host-network.ts';

/** {@link HostNetwork} without a network: it remembers who is attached under which policy, and hands out denials a test puts there. */
export class NullNetwork implements HostNetwork {
  readonly attached = new Set<string>();
  /** In force, by sprite; of those attached. */
  readonly policies = new Map<string, NetworkPolicy>();
  /** Sprites whose policy was asked for again, in order. */
  readonly refreshed: string[] = [];
  /** To be taken, by sprite. */
  readonly denials = new Map<string, NetworkDenial[]>();
  readonly #guests = new Map<string, NetworkGuest>();
  policyObstacle: string | undefined;

  async describe(): Promise<{ kind: string; note: string }> {
    return { kind: 'null', note: '' };
  }

  async attach(guest: NetworkGuest): Promise<NetworkAttachment> {
    await this.adopt(guest);
    return { kind: 'none', mac: guestMac };
  }

  async adopt(guest: NetworkGuest): Promise<void> {
    this.attached.add(guest.spriteId);
    this.#guests.set(guest.spriteId, guest);
    this.policies.set(guest.spriteId, await guest.policy());
  }

  async refresh(spriteId: string): Promise<void> {
    const guest = this.#guests.get(spriteId);
    if (!guest) return;
    this.refreshed.push(spriteId);
    this.policies.set(spriteId, await guest.policy());
  }

  async detach(spriteId: string): Promise<void> {
    this.attached.delete(spriteId);
    this.policies.delete(spriteId);
    this.#guests.delete(spriteId);
  }

  async takeDenials(spriteId: string): Promise<NetworkDenial[]> {
    const taken = this.denials.get(spriteId) ?? [];
    this.denials.delete(spriteId);
    return taken;
  }

  async open(): Promise<void> {}

  async sweep(): Promise<void> {}

  async close(): Promise<void> {}
}
