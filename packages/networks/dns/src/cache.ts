import type { Answer, Rcode } from './message.ts';

/** Entries of one sprite. */
const maxEntries = 512;
/** Bytes of one sprite, as they came over the wire. */
const maxBytes = 256 * 1024;
/** What is longer is asked for again each time. */
const maxEntryBytes = 8 * 1024;

/** What name servers said about one name and type. */
export interface Known {
  rcode: Extract<Rcode, 'NOERROR' | 'NXDOMAIN'>;
  answers: readonly Answer[];
  /** The SOA record that says that there is nothing, and for how long. */
  soa: Answer | undefined;
  sizeBytes: number;
  /** Monotonic, ms. */
  expiresAt: number;
}

/** What name servers told one sprite: nobody else's questions show in how fast it is answered. The longest unused goes first. */
export class AnswerCache {
  readonly #entries = new Map<string, Known>();
  #sizeBytes = 0;

  get(name: string, type: string, now = performance.now()): Known | undefined {
    const key = keyOf(name, type);
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#drop(key);
    if (entry.expiresAt <= now) return undefined;
    this.#keep(key, entry);
    return entry;
  }

  put(name: string, type: string, entry: Known): void {
    const key = keyOf(name, type);
    this.#drop(key);
    if (entry.sizeBytes > maxEntryBytes) return;
    this.#keep(key, entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= maxEntries && this.#sizeBytes <= maxBytes) break;
      this.#drop(oldest);
    }
  }

  #keep(key: string, entry: Known): void {
    this.#entries.set(key, entry);
    this.#sizeBytes += entry.sizeBytes;
  }

  #drop(key: string): void {
    this.#sizeBytes -= this.#entries.get(key)?.sizeBytes ?? 0;
    this.#entries.delete(key);
  }
}

function keyOf(name: string, type: string): string {
  return `${type} ${name}`;
}
