import { createPrivateKey, X509Certificate } from 'node:crypto';
import fs from 'node:fs/promises';
import tls from 'node:tls';
import type { Logger } from '@sylph/engine';

/** How often the files are looked at: tools replace them in many ways, and links in between. */
const lookMs = 5_000;

/** Paths of a certificate and its key, PEM. */
export interface TlsFiles {
  cert: string;
  key: string;
}

/** A certificate and its key themselves, PEM. */
export interface Pair {
  cert: string;
  key: string;
}

/** A certificate in files, read again when it changes. A new pair that does not fit leaves the old one in use. */
export class CertificateFiles implements Disposable {
  /** Called with each new pair. */
  onChange: (pair: Pair) => void = () => undefined;
  readonly #files: TlsFiles;
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  #current: Pair;
  /** What was refused last: it is told once. */
  #refused = '';

  private constructor(files: TlsFiles, log: Logger, pair: Pair, everyMs: number) {
    this.#files = files;
    this.#log = log;
    this.#current = pair;
    this.#timer = setInterval(() => void this.#look(), everyMs);
    this.#timer.unref();
  }

  /** Reads the files. Rejects when they do not fit. */
  static async open(files: TlsFiles, log: Logger, everyMs = lookMs): Promise<CertificateFiles> {
    const pair = await read(files);
    check(pair);
    return new CertificateFiles(files, log, pair, everyMs);
  }

  get current(): Pair {
    return this.#current;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    try {
      const pair = await read(this.#files);
      if (pair.cert === this.#current.cert && pair.key === this.#current.key) return;
      check(pair);
      this.onChange(pair);
      this.#current = pair;
      this.#refused = '';
      this.#log.info({ cert: this.#files.cert }, 'the certificate of the edge was read again');
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (reason === this.#refused) return;
      this.#refused = reason;
      this.#log.warn({ err: error }, 'the new certificate of the edge cannot be used; the old one stays');
    }
  }
}

async function read({ cert, key }: TlsFiles): Promise<Pair> {
  return { cert: await fs.readFile(cert, 'utf8'), key: await fs.readFile(key, 'utf8') };
}

/** Throws when the two do not belong together. */
function check({ cert, key }: Pair): void {
  if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key)))
    throw new Error('the key is not the one of the certificate');
  tls.createSecureContext({ cert, key });
}
