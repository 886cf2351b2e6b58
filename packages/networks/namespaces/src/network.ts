import { createHash } from 'node:crypto';
import type { HostNetwork, NetworkAttachment, NetworkGuest } from '@sylph/engine';
import { guestMac } from '@sylph/engine';
import { type NetworkDenial, type SpriteId, SylphError } from '@sylph/model';
import { compilePolicy, DnsForwarder, SpecialRanges } from '@sylph/network-dns';
import { Attachment, type AttachmentDeps } from './attachment.ts';
import { tapDevice } from './guest-side.ts';
import { closeHost, openHost, type Host } from './host.ts';
import { readInheritance } from './inheritance.ts';
import { Linger } from './linger.ts';
import { forwarderPort, type Slot } from './plan.ts';
import { foreignDrops, openTun } from './requirements.ts';
import { namespaceIdentity } from './slot.ts';
import { inhabited, namespaceName, Slots } from './slots.ts';
import { Stock } from './stock.ts';
import { namespaceFile } from './tools.ts';

/** Sleeping sprites whose slots are kept, at least; a larger stock keeps more. */
const minLingering = 64;
/** Sprites whose last denials are kept after they left. */
const maxParting = 1_000;

/** Options of {@link NamespaceNetwork}. */
export interface NamespaceNetworkOptions {
  /** Whose number this is: the daemon's data directory, without symbolic links. */
  dataDir: string;
  /** IPv4 network that slots get their addresses from. */
  range: string;
  /** Slots kept ready. */
  slots: number;
  /** How long a sleeping sprite's slot is kept, seconds. */
  lingerS: number;
  /** Special networks that sprites may reach all the same. */
  allow: readonly string[];
  /** Name servers; none: the host's. */
  upstreams: readonly string[];
  /** Names that `defaults` in a policy stands for. */
  defaults: readonly string[];
  /** Told of what a person may want to know though nothing failed for a user. */
  onNotice: (notice: string, error?: unknown) => void;
}

/** What there is between `open` and `close`. */
interface Opened {
  host: Host;
  slots: Slots;
  stock: Stock<Slot>;
  forwarder: DnsForwarder;
  /** Slots of an earlier daemon that nobody has taken over yet. */
  inherited: Slot[];
}

/** A network namespace per awake sprite, taken from stock, with its TAP and its packet filter. See "A packet, start to end" in ARCHITECTURE.md. */
export class NamespaceNetwork implements HostNetwork {
  readonly policyObstacle = undefined;
  readonly #options: NamespaceNetworkOptions;
  readonly #special: SpecialRanges;
  readonly #attached = new Map<SpriteId, Attachment>();
  /** Adopted VMs of user-mode networking: they keep it until they end. */
  readonly #foreign = new Map<SpriteId, NetworkGuest>();
  readonly #parting = new Map<SpriteId, Promise<NetworkDenial[]>>();
  readonly #bySlotAddress = new Map<string, Attachment>();
  readonly #linger: Linger<Attachment>;
  /** Slots being removed. */
  readonly #removals = new Set<Promise<void>>();
  #opened: Opened | undefined;

  constructor(options: NamespaceNetworkOptions) {
    this.#options = options;
    this.#special = new SpecialRanges(options.allow);
    this.#linger = new Linger({
      durationMs: options.lingerS * 1000,
      max: Math.max(minLingering, options.slots),
      drop: (attachment) => this.#remove(attachment.slot),
    });
  }

  async open(): Promise<void> {
    const { range, dataDir, allow, onNotice } = this.#options;
    const notice = await openTun();
    if (notice !== undefined) onNotice(notice);
    const exempt = {
      ipv4: allow.filter((network) => !network.includes(':')),
      ipv6: allow.filter((network) => network.includes(':')),
    };
    await using undo = new AsyncDisposableStack();
    const host = await openHost({ range, dataDir, exempt });
    const slots = new Slots(host.instance, host.rules);
    const inherited = await slots.inherited();
    // Slots of an earlier daemon may have sprites in them.
    if (inherited.length === 0) undo.defer(() => closeHost(host));
    const forwarder = new DnsForwarder({
      listen: [host.instance.forwarder4, host.instance.forwarder6].map((address) => ({ address, port: forwarderPort })),
      upstreams: this.#options.upstreams,
      clientOf: (address) => this.#bySlotAddress.get(address),
      allowedSpecial: allow,
    });
    await forwarder.open();
    undo.use(forwarder);
    const stock = new Stock({
      size: this.#options.slots,
      make: () => slots.make(),
      onFailure: (error) => onNotice('no slot could be made for the stock', error),
    });
    // What the host lacks shows in the first, at once.
    await stock.prove();
    stock.fill();
    undo.move();
    this.#opened = { host, slots, stock, forwarder, inherited };
  }

  async describe(): Promise<{ kind: string; note: string }> {
    const { host } = this.#open();
    const drops = await foreignDrops();
    const notes = [
      `sprites reach the internet, never this host, private addresses or each other; policies are enforced; daemon number ${host.instance.number} of this host`,
      ...(host.ipv6.usable ? [] : [`no IPv6: ${host.ipv6.reason}`]),
      ...drops.map(
        (chain) =>
          `${chain} drops what it does not know: it has to let through what comes from and goes to interfaces sylph*`,
      ),
    ];
    return { kind: 'namespaces', note: notes.join('; ') };
  }

  async attach(guest: NetworkGuest): Promise<NetworkAttachment> {
    const { stock } = this.#open();
    const { spriteId } = guest;
    let attachment = this.#attached.get(spriteId) ?? this.#linger.take(spriteId);
    attachment ??= this.#moveIn(new Attachment(guest, await stock.take(), this.#deps()));
    attachment.guest = guest;
    // Registered before the policy is asked for: a change that comes meanwhile asks again.
    this.#attached.set(spriteId, attachment);
    await attachment.enforce();
    return { kind: 'tap', namespace: namespaceFile(attachment.slot.name), device: tapDevice, mac: guestMac };
  }

  async adopt(guest: NetworkGuest, pid: number): Promise<void> {
    const { inherited } = this.#open();
    const identity = await namespaceIdentity(`/proc/${pid}/ns/net`);
    const name = identity === undefined ? undefined : await namespaceName(identity);
    const slot = inherited.find((candidate) => candidate.name === name);
    if (slot) {
      const left = await readInheritance(slot.name);
      const attachment = await Attachment.inherit(guest, slot, this.#deps(), left);
      this.#attached.set(guest.spriteId, attachment);
      // Its guest runs: no question is answered before the policy is in force.
      await attachment.enforce();
      this.#moveIn(attachment);
    } else if (identity === (await namespaceIdentity('/proc/self/ns/net'))) {
      if ((await guest.policy()).rules.length > 0)
        throw new SylphError(
          'host_unfit',
          'it has a network policy, and a network of an earlier daemon that knows none',
        );
      this.#foreign.set(guest.spriteId, guest);
    } else {
      throw new SylphError('host_unfit', 'its network namespace is none of this daemon');
    }
  }

  async refresh(spriteId: SpriteId): Promise<void> {
    await this.#attached.get(spriteId)?.enforce();
    const foreign = this.#foreign.get(spriteId);
    if (foreign && (await foreign.policy()).rules.length > 0)
      throw new SylphError(
        'policy_unenforceable',
        'the sprite runs in a network of an earlier daemon that knows no policies',
        {
          hint: 'It is in force once the sprite has slept.',
        },
      );
  }

  detach(spriteId: SpriteId, { sleeps } = { sleeps: false }): Promise<void> {
    this.#foreign.delete(spriteId);
    const attachment = this.#attached.get(spriteId);
    this.#attached.delete(spriteId);
    if (attachment && sleeps && this.#options.lingerS > 0) this.#linger.keep(spriteId, attachment);
    else {
      const leaving = attachment ?? this.#linger.take(spriteId);
      if (leaving) this.#part(spriteId, leaving);
    }
    return Promise.resolve();
  }

  async takeDenials(spriteId: SpriteId): Promise<NetworkDenial[]> {
    const parting = this.#parting.get(spriteId);
    this.#parting.delete(spriteId);
    const attachment = this.#attached.get(spriteId) ?? this.#linger.get(spriteId);
    return [...((await parting) ?? []), ...((await attachment?.takeDenials()) ?? [])];
  }

  async sweep(): Promise<void> {
    const { inherited, slots } = this.#open();
    const kept = new Set([...this.#attached.values()].map(({ slot }) => slot.name));
    const busy = await inhabited();
    for (const slot of inherited) {
      if (kept.has(slot.name)) continue;
      const identity = await namespaceIdentity(namespaceFile(slot.name));
      if (identity !== undefined && busy.has(identity)) continue;
      await slots.remove(slot);
    }
    inherited.length = 0;
  }

  async close({ vmsRemain }: { vmsRemain: boolean }): Promise<void> {
    if (!this.#opened) return;
    const { host, slots, stock, forwarder, inherited } = this.#opened;
    await stock[Symbol.asyncDispose]();
    await forwarder.close();
    if (vmsRemain && this.#attached.size + this.#foreign.size > 0) return void (this.#opened = undefined);
    this.#linger.clear();
    await Promise.all(this.#parting.values());
    await Promise.all(this.#removals);
    this.#opened = undefined;
    const busy = await inhabited();
    let empty = true;
    for (const slot of [...stock.ready, ...inherited, ...[...this.#attached.values()].map(({ slot }) => slot)]) {
      const identity = await namespaceIdentity(namespaceFile(slot.name));
      if (identity !== undefined && busy.has(identity)) empty = false;
      else await slots.remove(slot);
    }
    // A VM that could not be put to sleep goes on as it is, for the next daemon.
    if (empty) await closeHost(host);
  }

  #open(): Opened {
    if (!this.#opened) throw new SylphError('internal', 'the network is not open');
    return this.#opened;
  }

  #deps(): AttachmentDeps {
    const { rules } = this.#open().host;
    const { defaults } = this.#options;
    return {
      compile: (policy) => compilePolicy(policy, defaults),
      digest: (policy) =>
        createHash('sha256')
          .update(JSON.stringify([policy.rules, defaults, rules]))
          .digest('base64url')
          .replaceAll('_', '-'),
      rules,
      special: this.#special,
    };
  }

  /** Has questions from its slot answered for it. */
  #moveIn(attachment: Attachment): Attachment {
    this.#bySlotAddress.set(attachment.slot.address4, attachment);
    this.#bySlotAddress.set(attachment.slot.address6, attachment);
    return attachment;
  }

  /** Removes a slot whose sprite is gone, in the background, after what it was denied has been read. */
  #part(spriteId: SpriteId, attachment: Attachment): void {
    const denials = attachment.takeDenials().catch((error: unknown) => {
      this.#options.onNotice('what a sprite was denied last could not be read', error);
      return [];
    });
    this.#parting.set(spriteId, denials);
    const [oldest] = this.#parting.keys();
    if (this.#parting.size > maxParting && oldest !== undefined) this.#parting.delete(oldest);
    void denials.then(() => this.#remove(attachment.slot));
  }

  #remove(slot: Slot): void {
    this.#bySlotAddress.delete(slot.address4);
    this.#bySlotAddress.delete(slot.address6);
    // After closing: it is left to the next daemon, as others are.
    if (!this.#opened) return;
    const removal = this.#opened.slots
      .remove(slot)
      .catch((error: unknown) => this.#options.onNotice(`slot ${slot.name} could not be removed`, error))
      .finally(() => this.#removals.delete(removal));
    this.#removals.add(removal);
  }
}
