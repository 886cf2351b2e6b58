import type * as api from '@sylph/model';
import type { SpriteChange } from '../sprite-watch.ts';
import type {
  Checkpoint,
  ServiceLogEvent,
  ServiceState,
  ResourcesPolicy,
  ServiceWithState,
  Session,
  SessionKillEvent,
  SpriteInfo,
  SpriteStateEvent,
  StreamMessage,
} from './types.ts';

/** The fields that are there. */
function present<T extends object>(fields: { [K in keyof T]: T[K] | null | undefined }): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null)) as T;
}

function date(text: string | null | undefined): Date | undefined {
  return typeof text === 'string' ? new Date(text) : undefined;
}

export function spriteInfo(sprite: api.Sprite): SpriteInfo {
  const { config, url_settings: settings } = sprite;
  return present<SpriteInfo>({
    id: sprite.id,
    name: sprite.name,
    organization: sprite.organization ?? sprite.org_slug,
    status: sprite.status,
    config: { ramMB: config?.ram_mb, cpus: config?.cpus, storageGB: config?.storage_gb },
    environment: sprite.environment,
    createdAt: new Date(sprite.created_at),
    updatedAt: new Date(sprite.updated_at),
    url: sprite.url,
    urlSettings: { auth: settings?.auth, privateAccess: settings?.private_access },
    version: sprite.version,
    environmentVersion: sprite.environment_version,
    labels: sprite.labels,
    lastRunningAt: date(sprite.last_running_at),
    lastWarmingAt: date(sprite.last_warming_at),
  });
}

export function spriteState(change: SpriteChange): SpriteStateEvent {
  const { org } = change;
  return present<SpriteStateEvent>({
    type: change.type,
    name: change.name,
    status: change.status,
    state: change.state,
    runningVersion: change.running_version,
    lastRunningAt: date(change.last_running_at),
    lastWarmingAt: date(change.last_warming_at),
    timestamp: date(change.timestamp),
    organization: {
      name: org.name,
      running: org.running,
      warm: org.warm,
      cold: org.cold,
      runningLimit: org.running_limit,
      warmLimit: org.warm_limit,
    },
  });
}

export function sessionInfo(session: api.Session): Session {
  return present<Session>({
    id: session.id,
    command: session.command,
    workdir: session.workdir,
    created: new Date(session.created),
    bytesPerSecond: session.bytes_per_second,
    isActive: session.is_active,
    lastActivity: date(session.last_activity),
    tty: session.tty,
  });
}

export function killEvent(line: api.KillLine): SessionKillEvent {
  const { type, message, signal, pid, exit_code: exitCode } = line;
  return present<SessionKillEvent>({ type, message, signal, pid, exitCode });
}

export function checkpointInfo(checkpoint: api.Checkpoint): Checkpoint {
  return present<Checkpoint>({
    id: checkpoint.id,
    createTime: new Date(checkpoint.create_time),
    comment: checkpoint.comment,
    history: checkpoint.history,
    isAuto: checkpoint.is_auto,
    sourceId: checkpoint.source_id,
    health: checkpoint.health,
    kind: checkpoint.kind,
    sizeBytes: checkpoint.size_bytes,
  });
}

export function streamMessage({ type, data, error }: api.StreamLine): StreamMessage {
  return present<StreamMessage>({ type, data, error });
}

export function resourcesInfo({ memory }: api.ResourcesPolicy): ResourcesPolicy {
  if (memory?.limit_mb === undefined) return {};
  return {
    memory: present<NonNullable<ResourcesPolicy['memory']>>({ limitMB: memory.limit_mb, autoscale: memory.autoscale }),
  };
}

export function serviceInfo(service: api.Service): ServiceWithState {
  const { name, cmd, args, env, dir, needs, http_port: httpPort, state } = service;
  return present<ServiceWithState>({ name, cmd, args, env, dir, needs, httpPort, state: serviceState(state) });
}

function serviceState(state: api.Service['state']): ServiceState {
  return present<ServiceState>({
    name: state.name,
    status: state.status,
    pid: state.pid,
    startedAt: state.started_at,
    error: state.error,
    restartCount: state.restart_count,
    nextRestartAt: state.next_restart_at,
  });
}

export function serviceLog(event: api.ServiceEvent): ServiceLogEvent {
  const { type, data, exit_code: exitCode, timestamp, count, log_files: logFiles } = event;
  return present<ServiceLogEvent>({ type, data, exitCode, count, timestamp, logFiles });
}
