import fs from 'node:fs/promises';
import type { HostNetwork } from '@sylph/engine';
import { SylphError } from '@sylph/model';
import { readDefaults } from '@sylph/network-dns';
import { NamespaceNetwork } from '@sylph/network-namespaces';
import { SlirpNetwork } from '@sylph/network-slirp';
import type { Logger } from 'pino';
import type { Config } from '../config.ts';

/** Host users VMs may run as, from `uid-base` up. */
const uidCount = 65_536;

/**
 * The network the configuration asks for, open. `auto`: namespaces, and where this host cannot make them user mode, with the reason among the notices. Throws `host_unfit` when what is asked for by name cannot be had.
 */
export async function openNetwork(
  config: Config,
  log: Logger,
): Promise<{ network: HostNetwork; notices: readonly string[] }> {
  const notices: string[] = [];
  let because: string | undefined;
  if (config.network === 'auto' || config.network === 'namespaces') {
    try {
      const namespaces = await namespaceNetwork(config, log, notices);
      await namespaces.open();
      return { network: namespaces, notices };
    } catch (error) {
      // A setting that fits nothing is not the host's fault.
      if (error instanceof RangeError)
        throw new SylphError('invalid_request', `network-allow or dns-upstream: ${error.message}`, { cause: error });
      const failure = SylphError.from(error);
      if (failure.code === 'invalid_request') throw failure;
      if (config.network === 'namespaces')
        throw new SylphError('host_unfit', `network namespaces cannot be had: ${failure.message}`, {
          hint: failure.code === 'internal' ? undefined : failure.hint,
          cause: error,
        });
      because = failure.message;
      notices.push(`sprites use user-mode networking, which knows no policies: ${because}`);
    }
  }
  const users = { first: config['uid-base'], last: config['uid-base'] + uidCount - 1 };
  const network = new SlirpNetwork(users, config.network === 'none' ? 'none' : 'auto', because);
  await network.open();
  return { network, notices };
}

async function namespaceNetwork(config: Config, log: Logger, notices: string[]): Promise<NamespaceNetwork> {
  return new NamespaceNetwork({
    dataDir: await fs.realpath(config['data-dir']),
    range: config['network-range'],
    slots: config['network-slots'],
    lingerS: config['network-linger'],
    allow: listOf(config['network-allow']),
    upstreams: listOf(config['dns-upstream']),
    defaults: readDefaults(),
    onNotice: (notice, error) => {
      if (error === undefined) notices.push(notice);
      log.warn({ err: error, notice }, 'network');
    },
  });
}

/** Items of a comma-separated setting. */
export function listOf(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}
