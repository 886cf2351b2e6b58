import path from 'node:path';
import type { Repository, SpriteService } from '@sylph/engine';
import { SylphError } from '@sylph/model';
import { defaultSshLimits, openHostKey, SshServer, type SshDeps } from '@sylph/ssh';
import type { Logger } from 'pino';
import { commandBase } from '../api/exec-request.ts';
import { authenticate, isTokenValid } from '../auth/tokens.ts';
import { parseListen, type Config } from '../config.ts';

/** The program inside that serves files: the agent under another name. */
const sftpServer = '/.sprite/bin/sftp-server';

/** How the SSH server shows itself to those who ask the API. */
export interface SshInfo {
  /** HOST:PORT. */
  listen: string;
  host_key: string;
  fingerprint: string;
}

/** A listening SSH server. */
export interface RunningSsh extends AsyncDisposable {
  info: SshInfo;
}

/** What of the daemon the SSH server stands on. */
export interface SshSources {
  service: SpriteService;
  repository: Repository;
  log: Logger;
  ready: () => boolean;
}

/** Starts the SSH server; undefined when it is switched off. */
export async function startSsh(config: Config, sources: SshSources): Promise<RunningSsh | undefined> {
  if (config['ssh-listen'] === 'none') return undefined;
  const hostKey = await openHostKey(path.join(config['data-dir'], 'ssh_host_ed25519_key'));
  const at = parseListen(config['ssh-listen']);
  const server = await SshServer.listen(sshDeps(sources), hostKey, at).catch((error: unknown) => {
    throw new SylphError('host_unfit', `SSH cannot be served at ${config['ssh-listen']}: ${(error as Error).message}`, {
      hint: 'Change ssh-listen: another address, or none.',
      cause: error,
    });
  });
  const { host } = at;
  const listen = `${host.includes(':') ? `[${host}]` : host}:${server.port}`;
  sources.log.info({ listen, fingerprint: hostKey.fingerprint }, 'SSH listens');
  return {
    info: { listen, host_key: hostKey.publicLine, fingerprint: hostKey.fingerprint },
    [Symbol.asyncDispose]: () => server.close(),
  };
}

/** What the server needs, out of what the daemon has. */
export function sshDeps({ service, repository, log, ready }: SshSources): SshDeps {
  return {
    service,
    repository,
    log,
    ready,
    authenticateToken: (text) => authenticate(repository, text),
    isTokenValid: (id) => isTokenValid(repository, id),
    commandBase,
    sftpServer,
    limits: defaultSshLimits,
  };
}
