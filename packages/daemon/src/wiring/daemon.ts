import path from 'node:path';
import { ControlAndDataChannels } from '@sylph/channel';
import { QemuDriver } from '@sylph/driver-qemu';
import { Failpoints, Sprites, type EngineDeps } from '@sylph/engine';
import { JournalKeeper } from '@sylph/sessions';
import { closePool, openPool, PoolDirectory, Trimmer } from '@sylph/store-pool';
import { openSqliteRepository } from '@sylph/store-sqlite';
import type { Logger } from 'pino';
import { buildApi } from '../api/index.ts';
import { GuestCallAnswerer } from '../inside/call-answerer.ts';
import { parseFailpoints, parseListen, type Config } from '../config.ts';
import { makeDataDir } from '../data-dir.ts';
import { lockDataDir } from '../lock.ts';
import { version } from '../version.ts';
import { Deliveries } from '../webhooks/deliveries.ts';
import { tellJobEnds } from '../webhooks/job-ends.ts';
import { PoolCatalog } from './catalog.ts';
import { EdgeService } from './edge.ts';
import { hostInfo } from './host-info.ts';
import { listOf, openNetwork } from './network.ts';
import { startSsh } from './ssh.ts';

/** Sprites put to sleep or recovered at the same time. */
const parallelism = 4;

/** A serving daemon. */
export interface Daemon {
  /** Address the API listens on. */
  readonly url: string;
  /** Ends serving: the API first, then sprites as configured, then files. Idempotent. */
  close(): Promise<void>;
}

/** Starts everything, in the order in which one needs the other, and undoes it in reverse when a step fails. Resolves when sprites can be used. */
export async function startDaemon(config: Config, log: Logger): Promise<Daemon> {
  await using stack = new AsyncDisposableStack();
  const dataDir = config['data-dir'];
  await makeDataDir(dataDir);
  stack.use(await lockDataDir(dataDir));

  const pool = await openPool(dataDir);
  stack.defer(() => unmount(pool, config, log));
  const store = stack.use(new PoolDirectory(pool.root));
  stack.use(
    new Trimmer(pool, { onFailure: (error) => log.warn({ err: error }, 'free space of the pool was not given back') }),
  );
  const repository = stack.use(openSqliteRepository(path.join(dataDir, 'sylph.db')));
  const catalog = await PoolCatalog.open({
    images: store.layout.images,
    guests: store.layout.guests,
    guestSource: config['guest-dir'],
  });
  const { network, notices: networkNotices } = await openNetwork(config, log);
  stack.defer(() => network.close({ vmsRemain: config['on-shutdown'] === 'leave' }));
  const driver = stack.use(
    new QemuDriver({
      stateDir: dataDir,
      accelerator: config.accel,
      onNotice: (notice) => log.warn({ notice }, 'hypervisor'),
    }),
  );

  const deliveries = stack.use(new Deliveries({ repository, log, internalToo: config['webhook-targets'] === 'any' }));

  const edge = new EdgeService(config);
  const spriteUrl = edge.urls.of.bind(edge.urls);
  const deps: EngineDeps = {
    driver,
    store,
    channels: new ControlAndDataChannels(),
    network,
    repository,
    keeper: new JournalKeeper({ log, notify: tellJobEnds(repository, deliveries) }),
    catalog,
    answerer: new GuestCallAnswerer({ service: () => sprites, spriteUrl, version, log }),
    log,
    failpoints: new Failpoints(parseFailpoints(config.failpoints)),
    options: {
      uidBase: config['uid-base'],
      defaultIdleTimeoutS: config['idle-timeout'],
      bootDeadlineMs: 120_000,
      resumeDeadlineMs: 60_000,
      agentSilenceMs: config['agent-silence'] * 1000,
      autoCheckpoints: config['auto-checkpoints'],
      parallelism,
      maxAwake: config['max-awake'],
    },
  };
  const sprites = new Sprites(deps);
  stack.defer(() => sprites.close(config['on-shutdown']));

  const notices = [...pool.notices, ...networkNotices];
  let ready = false;
  const { host, port } = parseListen(config.listen);
  const api = buildApi({
    service: sprites,
    repository,
    host: () => hostInfo({ driver, store, network, catalog, sprites, pool, limits: driver.limits, notices }),
    logger: log,
    version,
    spriteUrl,
    domain: edge.domain,
    ready: () => ready,
    ssh: () => ssh?.info ?? null,
    allowedSpecial: listOf(config['network-allow']),
    limits: {
      requestsPerMinute: config['requests-per-minute'],
      creationsPerMinute: config['creations-per-minute'],
      maxAwake: config['max-awake'],
    },
  });
  stack.defer(() => api.close());
  stack.use(edge);
  await edge.open({ service: sprites, repository, ready: () => ready, log });
  const url = await api.listen({ host, port });
  const ssh = stack.use(await startSsh(config, { service: sprites, repository, log, ready: () => ready }));
  log.info({ url }, 'listening, not ready yet');

  notices.push(...(await sprites.open()));
  for (const notice of notices) log.warn({ notice }, 'found at start');
  await announceMachine(deps, log);
  await sprites.prepare();
  ready = true;
  log.info({ url }, 'ready');

  const owned = stack.move();
  let closing: Promise<void> | undefined;
  return { url, close: () => (closing ??= owned.disposeAsync()) };
}

async function announceMachine(deps: EngineDeps, log: Logger): Promise<void> {
  const machine = await deps.driver.machine(await deps.catalog.guest());
  if (machine.accelerator === 'tcg')
    log.warn({ reason: machine.reason }, 'NO KVM: sprites run by software emulation, many times slower');
  else log.info({ machine }, 'sprites run on KVM');
}

async function unmount(pool: Awaited<ReturnType<typeof openPool>>, config: Config, log: Logger): Promise<void> {
  if (config['on-shutdown'] === 'leave') return;
  // A VM that could not be put to sleep keeps the pool busy; it is adopted by the next daemon, which finds the pool mounted.
  await closePool(pool).catch((error: unknown) => log.warn({ err: error }, 'the pool stays mounted'));
}
