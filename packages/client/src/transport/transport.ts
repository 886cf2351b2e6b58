import type { ExecFrame } from '../exec/frames.ts';

/** What a socket tells its owner. Calls come one after another, `closed` last and once. */
export interface SocketEvents {
  message(data: Uint8Array | string): void;
  /** The answer to {@link Socket.ping}, with its text. */
  pong(text: string): void;
  closed(end: { code: number; reason: string }): void;
}

/** Code of a close by the transport itself: the reader rested while more came than may wait. */
export const overflowCode = 4990;

/** An open WebSocket. */
export interface Socket {
  /** Resolves when more may be sent; the message itself is on its way in order. Never rejects: what is sent into a closing socket is dropped. */
  send(data: Uint8Array | string): Promise<void>;
  /** Absent where the platform has no pings: then input is not confirmed while a connection stands. */
  ping?(text: string): void;
  /** Stops reading from the network, or at least telling; messages already read may still arrive. A platform that cannot hold the network back ends the connection with {@link overflowCode} when too much waits. */
  pause(): void;
  resume(): void;
  /** Says goodbye and ends within 2 s whatever the other side does. */
  close(code: number): void;
  /** Ends at once. */
  terminate(): void;
}

/** How to open a socket. */
export interface ConnectOptions {
  url: URL;
  headers: Record<string, string>;
  connectMs: number;
  /** Until the server answered the upgrade, from the moment the connection stands. */
  answerMs: number;
  signal: AbortSignal;
  events: SocketEvents;
}

/** A request whose answer is one frame per HTTP chunk. */
export interface ChunkedOptions {
  url: URL;
  headers: Record<string, string>;
  connectMs: number;
  answerMs: number;
  fetch: typeof fetch;
  /** Sent as the request's body, chunk by chunk. */
  body: AsyncIterable<Uint8Array> | undefined;
  signal: AbortSignal;
}

/** What the client needs of a platform beyond `fetch`. */
export interface Transport {
  /** Whether `fetch` sends a stream as it comes; otherwise it is gathered first. */
  streamsRequests: boolean;
  /** Throws ClientError when refused, with the server's own error where it gave one. */
  connect(options: ConnectOptions): Promise<Socket>;
  /** `POST` whose answer is frames: of a media type that says so, or, where the platform shows the borders of chunks, one a chunk. */
  postChunked(options: ChunkedOptions): AsyncGenerator<ExecFrame, void, undefined>;
}
