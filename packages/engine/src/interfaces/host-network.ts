/** How a VM reaches the network, in terms every driver can turn into its own arguments. */
export type NetworkAttachment =
  | { kind: 'none' }
  /** User-mode stack inside the hypervisor. `restricted`: no way out at all. */
  | {
      kind: 'user';
      restricted: boolean;
      mac: string;
      subnet: string;
      guestAddress: string;
      gateway: string;
      dns: string;
    };

/**
 * Gives VMs their network.
 *
 * Guest addressing is the same for every sprite, so that a restored or forked guest finds its world unchanged: 10.0.0.1/24, gateway 10.0.0.2.
 */
export interface HostNetwork {
  /** For `/v1/host` and `sylph doctor`: kind, and what is and is not enforced. */
  describe(): Promise<{ kind: string; note: string }>;
  /** Before a VM starts. Idempotent per sprite. */
  attach(spriteId: string, uid: number): Promise<NetworkAttachment>;
  /** After a VM ended. Idempotent. */
  detach(spriteId: string): Promise<void>;
  /** Makes what all VMs need; called once at start. Sweeps leftovers of an earlier daemon. */
  open(): Promise<void>;
  /** Removes what `open` made when no VM is left running. */
  close(options: { vmsRemain: boolean }): Promise<void>;
}
