import type { CallOptions } from '../sprites.ts';

/** How a command is started, in the words of the npm SDK. */
export interface SpawnOptions extends CallOptions {
  cwd?: string | undefined;
  env?: Record<string, string> | undefined;
  /** In a terminal; then stderr stays empty. */
  tty?: boolean | undefined;
  rows?: number | undefined;
  cols?: number | undefined;
  /** Lives on without clients as long as it likes. */
  detachable?: boolean | undefined;
  /** Takes this session up instead of starting a command. */
  sessionId?: string | undefined;
  /** Accepted and without effect: every command has a connection of its own. */
  controlMode?: boolean | undefined;
  /** How long the command may live after its last client left, like `30s`. */
  maxRunAfterDisconnect?: string | undefined;
  /** Default: yes when spawned; no for `exec` and `execFile`, whose commands then see an empty input. */
  stdin?: boolean | undefined;
  /** Ends the command with TERM and the wait for it with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** Options of `exec` and `execFile`. */
export interface ExecOptions<Encoding extends string = string> extends SpawnOptions {
  /** Of the output, default `utf8`; `buffer`: bytes. */
  encoding?: Encoding | 'buffer' | undefined;
  /** Most bytes of stdout, and of stderr; default 10 MiB. */
  maxBuffer?: number | undefined;
}

/** Options of `execFileHTTP`. */
export interface HTTPExecOptions<Encoding extends string = string> extends Omit<
  ExecOptions<Encoding>,
  'tty' | 'rows' | 'cols' | 'sessionId' | 'controlMode' | 'detachable' | 'maxRunAfterDisconnect' | 'stdin'
> {
  input?: string | Uint8Array | undefined;
  /** Milliseconds for the whole command. */
  timeout?: number | undefined;
}

/** What a command said and how it ended. */
export interface ExecResult<Bytes extends Uint8Array = Uint8Array> {
  stdout: string | Bytes;
  stderr: string | Bytes;
  exitCode: number;
}

/** Bytes and texts as a platform has them: Buffers in Node. */
export interface Platform<Bytes extends Uint8Array, Encoding extends string> {
  /** May share the memory. */
  bytes(value: Uint8Array): Bytes;
  text(value: Uint8Array, encoding: Encoding | 'utf8'): string;
}

/** Size of a sprite. */
export interface SpriteConfig {
  ramMB?: number | undefined;
  cpus?: number | undefined;
  region?: string | undefined;
  storageGB?: number | undefined;
}

/** Who may open a sprite's URL. */
export interface URLSettings {
  auth?: string | undefined;
  privateAccess?: 'admins' | 'org_users' | undefined;
}

/** What a new sprite is like. */
export interface CreateSpriteOptions extends CallOptions {
  config?: SpriteConfig | undefined;
  environment?: Record<string, string> | undefined;
  urlSettings?: URLSettings | undefined;
  labels?: string[] | undefined;
  waitForCapacity?: boolean | undefined;
  runtime?: 'default' | 'dev' | undefined;
  /** Another sprite, at one of its checkpoints or as it is, or an image. */
  from?: { sprite: string; checkpoint?: string } | { image: string } | undefined;
  /** Seconds without use before it sleeps; 0 = never. */
  idleTimeoutSeconds?: number | undefined;
  idempotencyKey?: string | undefined;
}

/** What of a sprite can be changed; what is absent stays. */
export interface UpdateSpriteOptions extends CallOptions {
  urlSettings?: URLSettings | undefined;
  labels?: string[] | undefined;
  idleTimeoutSeconds?: number | undefined;
}

/** A sprite as a list shows it. */
export interface SpriteInfo {
  id: string;
  name: string;
  organization: string;
  status: string;
  config?: SpriteConfig;
  environment?: Record<string, string>;
  createdAt: Date;
  updatedAt: Date;
  url?: string;
  urlSettings?: URLSettings;
  version?: string;
  environmentVersion?: string;
  labels?: string[];
  lastRunningAt?: Date;
  lastWarmingAt?: Date;
}

/** Which sprites are listed. */
export interface ListOptions extends CallOptions {
  prefix?: string | undefined;
  maxResults?: number | undefined;
  continuationToken?: string | undefined;
  /** Accepted and without effect. */
  bulkLoad?: boolean | undefined;
}

/** A page of sprites, with the counts of the organization. */
export interface SpriteList {
  sprites: SpriteInfo[];
  hasMore: boolean;
  nextContinuationToken?: string;
  running?: number;
  warm?: number;
  cold?: number;
  organizationName?: string;
  runningLimit?: number;
  warmLimit?: number;
}

/** A line of a watch: the state of a sprite, or that there is nothing new. */
export interface SpriteStateEvent {
  type?: 'heartbeat' | 'deleted';
  name?: string;
  status?: string;
  state?: string;
  runningVersion?: string;
  lastRunningAt?: Date;
  lastWarmingAt?: Date;
  timestamp?: Date;
  organization: {
    name?: string;
    running: number;
    warm: number;
    cold: number;
    runningLimit?: number;
    warmLimit?: number;
  };
}

/** A running session. */
export interface Session {
  id: string;
  command: string;
  workdir: string;
  created: Date;
  bytesPerSecond: number;
  isActive: boolean;
  lastActivity?: Date;
  tty: boolean;
}

/** A line about the end of a session that is killed. */
export interface SessionKillEvent {
  type: 'signal' | 'timeout' | 'exited' | 'killed' | 'error' | 'complete';
  message?: string;
  signal?: string;
  pid?: number;
  exitCode?: number;
}

/** Answer of a restart. */
export interface RestartSpriteResult {
  spriteName: string;
  machineId: string;
  message: string;
}

/** Health of a sprite; `elapsed` in milliseconds. */
export interface SpriteCheck {
  spriteName: string;
  spriteId: string;
  status: string;
  reason?: string;
  checkedAt: Date;
  elapsed?: number;
}

/** A checkpoint. */
export interface Checkpoint {
  id: string;
  createTime: Date;
  comment?: string;
  history?: string[];
  isAuto?: boolean;
  sourceId?: string;
  health?: string;
  kind?: 'memory' | 'disk';
  sizeBytes?: number;
}

/** A line about a checkpoint or a restore under way. */
export interface StreamMessage {
  type: 'info' | 'stdout' | 'stderr' | 'error' | 'complete';
  data?: string;
  error?: string;
}

/** A service. */
export interface Service {
  name: string;
  cmd: string;
  args: string[];
  env?: Record<string, string>;
  dir?: string;
  needs: string[];
  httpPort?: number;
}

/** State of a service; times are ISO 8601. */
export interface ServiceState {
  name: string;
  status: 'stopped' | 'starting' | 'running' | 'stopping' | 'failed';
  pid?: number;
  startedAt?: string;
  error?: string;
  restartCount?: number;
  nextRestartAt?: string;
}

/** A service and its state. */
export interface ServiceWithState extends Service {
  state?: ServiceState;
}

/** A line of a service's log, or about its start or end; `timestamp` in milliseconds. */
export interface ServiceLogEvent {
  type: 'stdout' | 'stderr' | 'exit' | 'error' | 'complete' | 'started' | 'stopping' | 'stopped' | 'dropped';
  data?: string;
  exitCode?: number;
  /** Of `dropped`: events the reader was too slow for. */
  count?: number;
  timestamp: number;
  logFiles?: Record<string, string>;
}

/** What may be reached, or not: a `domain`, or a `cidr`, with an `action`; or the rules of `include`, which is `defaults`. */
export interface PolicyRule {
  domain?: string;
  /** A network or an address. */
  cidr?: string;
  action?: 'allow' | 'deny';
  /** TCP and UDP ports; absent: all. */
  ports?: number[] | undefined;
  include?: string;
}

/** What a sprite may reach; no rules: the internet. */
export interface NetworkPolicy {
  rules: PolicyRule[];
}

/** Kept, without effect: a sprite is a machine of its own. */
export interface PrivilegesPolicy {
  profile?: '' | 'minimal' | 'standard' | 'privileged';
  devices?: string[];
  noNewPrivileges?: boolean;
}

/** Kept; what bounds a sprite's memory is the size it was made with. */
export interface ResourcesPolicy {
  memory?: { limitMB: number; autoscale?: boolean };
}

/** What is known of a file; the API tells one time, which stands for all. */
export interface Stats {
  size: number;
  mode: number;
  mtime: Date;
  atime: Date;
  birthtime: Date;
  isDirectory(): boolean;
  isFile(): boolean;
  isSymbolicLink(): boolean;
}

/** An entry of a directory. */
export interface Dirent {
  name: string;
  parentPath: string;
  isDirectory(): boolean;
  isFile(): boolean;
  isSymbolicLink(): boolean;
}

/** Options of everything that changes files. */
export interface ChangeOptions extends CallOptions {
  recursive?: boolean | undefined;
  asRoot?: boolean | undefined;
}

/** Options of `rm`; `force`: what is missing is fine. */
export interface RmOptions extends ChangeOptions {
  force?: boolean | undefined;
}

/** Options of `copyFile`. */
export interface CopyFileOptions extends ChangeOptions {
  preserveAttrs?: boolean | undefined;
}

/** New owners: numbers or names. */
export interface ChownOptions extends ChangeOptions {
  uid?: number | string | undefined;
  gid?: number | string | undefined;
}

/** Options of `readdir`. */
export interface ReaddirOptions extends CallOptions {
  withFileTypes?: boolean | undefined;
  /** Accepted; names are UTF-8. */
  encoding?: string | undefined;
  recursive?: boolean | undefined;
  pattern?: string | undefined;
}

/** What a watch of files tells; `overflow`: some events got lost. */
export interface FilesystemWatchEvent {
  type: 'subscribed' | 'event' | 'error' | 'overflow';
  paths?: string[];
  path?: string;
  event?: 'write' | 'create' | 'remove' | 'rename' | 'chmod';
  timestamp?: string;
  size?: number;
  isDir?: boolean;
  message?: string;
}
