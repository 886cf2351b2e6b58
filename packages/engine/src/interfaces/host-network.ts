import type { NetworkDenial, NetworkPolicy, SpriteId } from '@sylph/model';

/** Hardware address of every guest, as it has the same IP: a fork must not notice another card. Locally administered. */
export const guestMac = '02:73:79:6c:70:68';

/** How a VM reaches the network, in terms every driver can turn into its own arguments. */
export type NetworkAttachment =
  /** A card without anything behind it. */
  | { kind: 'none'; mac: string }
  /** User-mode stack inside the hypervisor. `restricted`: no way out at all. */
  | {
      kind: 'user';
      restricted: boolean;
      mac: string;
      subnet: string;
      guestAddress: string;
      gateway: string;
      dns: string;
    }
  /** A TAP device that exists already, in a network namespace the hypervisor has to be started in. `namespace` is a file such as `/run/netns/NAME`. */
  | { kind: 'tap'; namespace: string; device: string; mac: string };

/** A sprite that wants to reach the network. */
export interface NetworkGuest {
  spriteId: SpriteId;
  /** Host user its VM runs as. */
  uid: number;
  /** What it may reach, asked once it has its place, and again at every {@link HostNetwork.refresh}. */
  policy: () => Promise<NetworkPolicy>;
}

/**
 * Gives VMs their network.
 *
 * Guest addressing is the same for every sprite, so that a restored or forked guest finds its world unchanged: 10.0.0.1/24 and fdf::1/64, gateway and DNS 10.0.0.2 and fdf::2, one hardware address on either side.
 * Whatever the policy: never the host, private, carrier-grade, link-local, metadata or multicast ranges, nor another sprite.
 */
export interface HostNetwork {
  /** Whether policies can be enforced; otherwise one sentence on what is in the way, and a sprite that has a policy gets no way out. */
  readonly policyObstacle: string | undefined;
  /** For `/v1/host` and `sylph doctor`: kind, and what is and is not enforced. */
  describe(): Promise<{ kind: string; note: string }>;
  /** Before a VM starts: its policy is in force when it resolves. Idempotent per sprite; a sprite that slept a short while finds its place, and the connections through it, as they were. */
  attach(guest: NetworkGuest): Promise<NetworkAttachment>;
  /** A VM found running at start, by its process. Its network goes on as it is; throws `host_unfit` when it has one this daemon cannot keep. */
  adopt(guest: NetworkGuest, pid: number): Promise<void>;
  /** The policy of an attached sprite may have changed: it is asked for and in force when this resolves; connections it forbids are cut. Others: nothing happens. */
  refresh(spriteId: SpriteId): Promise<void>;
  /** After a VM ended. `sleeps`: it may come back soon, so its connections are kept for a while. Idempotent. */
  detach(spriteId: SpriteId, options?: { sleeps: boolean }): Promise<void>;
  /** What was denied to a sprite since this was asked last, counted; only while it is attached, and once after. */
  takeDenials(spriteId: SpriteId): Promise<NetworkDenial[]>;
  /** Makes what all VMs need; called once at start, before anything is adopted. */
  open(): Promise<void>;
  /** All VMs of an earlier daemon have been adopted: what is left over is swept. Only what carries this instance's name is touched. */
  sweep(): Promise<void>;
  /** Removes what `open` made when no VM is left running. */
  close(options: { vmsRemain: boolean }): Promise<void>;
}
