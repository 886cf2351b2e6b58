import type { AnyCommand } from '../command.ts';
import { api } from './api.ts';
import { checkpoint, restore } from './checkpoints.ts';
import { complete, completion } from './completion.ts';
import { config } from './config.ts';
import { doctor } from './doctor.ts';
import { domains } from './domains.ts';
import { console, exec } from './exec.ts';
import { cp, edit, file } from './files.ts';
import { host, showVersion } from './host.ts';
import { check, fork, recover, restart, start, suspend, upgrade } from './lifecycle.ts';
import { jobs } from './jobs.ts';
import { links } from './links.ts';
import { login, logout } from './login.ts';
import { auth, org } from './org.ts';
import { policy } from './policy.ts';
import { proxy } from './proxy.ts';
import { service } from './services.ts';
import { attach, sessions } from './sessions.ts';
import { create, destroy, info, list } from './sprites.ts';
import { ssh, sshConfig } from './ssh.ts';
import { sshKey } from './ssh-keys.ts';
import { url } from './url.ts';
import { use } from './use.ts';

/** Every command, in groups as the help shows them. */
export const groups: readonly { title: string; commands: readonly AnyCommand[] }[] = [
  { title: 'Sprites:', commands: [create, list, info, config, use, destroy] },
  { title: 'Running things:', commands: [exec, console, sessions, attach, proxy, jobs, service] },
  { title: 'URLs:', commands: [url, links, domains] },
  { title: 'Network:', commands: [policy] },
  { title: 'SSH:', commands: [ssh, sshKey, sshConfig] },
  { title: 'Files:', commands: [cp, file, edit] },
  { title: 'Time travel:', commands: [checkpoint, restore, fork] },
  { title: 'Life:', commands: [start, suspend, restart, upgrade, recover, check] },
  { title: 'Server:', commands: [login, logout, org, auth, host, api, doctor] },
  { title: 'This program:', commands: [completion, showVersion, complete] },
];

/** {@link groups} in one list. */
export const commands: readonly AnyCommand[] = groups.flatMap((group) => group.commands);
