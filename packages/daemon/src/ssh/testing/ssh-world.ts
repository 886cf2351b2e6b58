import { execFile, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { OrgRow, Repository } from '@sylph/engine';
import { defaultSshLimits, openHostKey, parsePublicKey, SshServer, type SshLimits } from '@sylph/ssh';
import { openSqliteRepository } from '@sylph/store-sqlite';
import { pino } from 'pino';
import type { ConnectConfig } from 'ssh2';
import { AgentService } from '../../api/testing/agent-service.ts';
import { createToken } from '../../auth/tokens.ts';
import { sshDeps } from '../../wiring/ssh.ts';
import { SshClient } from './ssh-client.ts';

const run = promisify(execFile);
/** Bounds every client; no test depends on how short it is. */
const patienceMs = 60_000;

/** How a client ended. */
export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** An SSH server over a real agent on this machine, with sprite `one` of organization `acme`, a key that lets in and a token. Dispose it. */
export class SshWorld implements AsyncDisposable {
  readonly dir: string;
  readonly service: AgentService;
  readonly repository: Repository;
  readonly server: SshServer;
  readonly org: OrgRow;
  readonly token: string;
  readonly keyId: string;
  readonly hostLine: string;
  readonly log: string[];

  private constructor(
    parts: Pick<SshWorld, 'dir' | 'service' | 'repository' | 'server' | 'org' | 'token' | 'keyId' | 'hostLine' | 'log'>,
  ) {
    this.dir = parts.dir;
    this.service = parts.service;
    this.repository = parts.repository;
    this.server = parts.server;
    this.org = parts.org;
    this.token = parts.token;
    this.keyId = parts.keyId;
    this.hostLine = parts.hostLine;
    this.log = parts.log;
  }

  static async open(limits: Partial<SshLimits> = {}): Promise<SshWorld> {
    const dir = await mkdtemp(join(tmpdir(), 'sylph-ssh-'));
    const repository = openSqliteRepository(join(dir, 'sylph.db'));
    const org = await repository.ensureOrg('acme');
    const token = await createToken(repository, { org: 'acme', description: 'test', expiresAt: null });
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, 'id')]);
    const keyId = await registerKey(repository, org, join(dir, 'id.pub'));
    const service = await AgentService.open();
    await service.create(org, { name: 'one' });
    await service.start(org, 'one');
    const sftpServer = join(dir, 'sftp-server');
    await symlink(join(dirname(service.home), 'agent'), sftpServer);
    const hostKey = await openHostKey(join(dir, 'host'));
    const log: string[] = [];
    const logger = pino({ level: 'trace' }, { write: (line: string) => void log.push(line) });
    const deps = sshDeps({ service, repository, log: logger, ready: () => true });
    const server = await SshServer.listen(
      { ...deps, sftpServer, limits: { ...defaultSshLimits, ...limits } },
      hostKey,
      { host: '127.0.0.1', port: 0 },
    );
    return new SshWorld({ dir, service, repository, server, org, token, keyId, hostLine: hostKey.publicLine, log });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
    await this.service[Symbol.asyncDispose]();
    await this.repository[Symbol.asyncDispose]();
    await rm(this.dir, { recursive: true });
  }

  /** Options for ssh, sftp and scp, with the key and without anything of this machine's configuration. */
  options(...more: string[]): string[] {
    const options = [
      'BatchMode=yes',
      'StrictHostKeyChecking=accept-new',
      `UserKnownHostsFile=${join(this.dir, 'known_hosts')}`,
      'IdentitiesOnly=yes',
      `IdentityFile=${join(this.dir, 'id')}`,
      `Port=${this.server.port}`,
      'LogLevel=ERROR',
      ...more,
    ];
    return ['-F', 'none', ...options.flatMap((option) => ['-o', option])];
  }

  /** A client in the manner of an app's, with the key. */
  async client(options: Partial<ConnectConfig> = {}): Promise<SshClient> {
    const privateKey = await readFile(join(this.dir, 'id'));
    return SshClient.connect({ host: '127.0.0.1', port: this.server.port, username: 'one', privateKey, ...options });
  }

  /** The ssh command as rsync and git want it. */
  get command(): string {
    return `ssh ${this.options().join(' ')}`;
  }

  /** Starts ssh. */
  start(args: string[], { options = [] as string[], user = 'one' } = {}): ChildProcessWithoutNullStreams {
    return spawn('ssh', [...this.options(...options), ...args.toSpliced(firstWord(args), 0, `${user}@127.0.0.1`)]);
  }

  /** Runs ssh to its end. */
  ssh(args: string[], options: { options?: string[]; user?: string; input?: string | Buffer } = {}): Promise<Ended> {
    const { input, ...rest } = options;
    return ended(this.start(args, rest), input ?? '');
  }

  /** Runs another program to its end. */
  run(program: string, args: string[], options: { input?: string; env?: Record<string, string> } = {}): Promise<Ended> {
    const child = spawn(program, args, { env: { ...process.env, ...options.env } });
    return ended(child, options.input ?? '');
  }
}

/** Registers the public key in a file; its id. */
export async function registerKey(repository: Repository, org: OrgRow, file: string): Promise<string> {
  const key = parsePublicKey(await readFile(file, 'utf8'));
  const id = randomUUID();
  await repository.sshKeys.insertSshKey({
    id,
    orgId: org.id,
    name: 'test',
    type: key.type,
    publicKey: key.base64,
    fingerprint: key.fingerprint,
    createdAt: new Date().toISOString(),
    lastUsedAt: null,
  });
  return id;
}

/** Gives a program its input and waits for its end. */
export async function ended(child: ChildProcessWithoutNullStreams, input: string | Buffer): Promise<Ended> {
  const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  // A program that does not want all of its input.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  clearTimeout(timer);
  return { code, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
}

/** Where the host goes: behind the options. Options with a value are given as one word. */
function firstWord(args: string[]): number {
  const at = args.findIndex((arg) => !arg.startsWith('-'));
  return at < 0 ? args.length : at;
}
