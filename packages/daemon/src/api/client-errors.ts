import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { SylphError } from '@sylph/model';
import { errorAnswerOf } from './error-answers.ts';

/** What Node's parser found wrong with a request, by its code; everything else is a malformed request. */
const faults: Record<string, { status: number; message: string }> = {
  HPE_HEADER_OVERFLOW: { status: 431, message: 'the request line with its headers is too long' },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, message: 'the request line and headers were not there in time' },
};

/** Answers what is no HTTP request, or not one in time, as far as the connection still allows it, and closes. */
export function answerClientError(version: string): (error: Error & { code?: string }, socket: Socket) => void {
  return (error, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    const { status, message } = faults[error.code ?? ''] ?? {
      status: 400,
      message: 'this is not a well-formed HTTP request',
    };
    const body = JSON.stringify(errorAnswerOf(new SylphError('invalid_request', message)));
    const headers = [
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
      'content-type: application/json; charset=utf-8',
      `content-length: ${Buffer.byteLength(body)}`,
      `x-request-id: ${randomUUID()}`,
      `sprite-version: v${version}`,
      'connection: close',
    ];
    socket.end(`${headers.join('\r\n')}\r\n\r\n${body}`);
  };
}
