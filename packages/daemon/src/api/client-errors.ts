import { randomUUID } from 'node:crypto';
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http';
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
    const { body, headers } = answerOf(new SylphError('invalid_request', message), version);
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    socket.end(`${[`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...lines].join('\r\n')}\r\n\r\n${body}`);
  };
}

/** Answers a request whose `Expect` header asks for what nobody here knows. Node itself would answer without a body. */
export function refuseExpectation(version: string): (request: IncomingMessage, response: ServerResponse) => void {
  return (_request, response) => {
    const error = new SylphError('invalid_request', 'the Expect header asks for something unknown', {
      hint: 'Leave it out, or send "Expect: 100-continue".',
    });
    const { body, headers } = answerOf(error, version);
    response.writeHead(417, headers).end(body);
  };
}

/** Body and headers of an answer outside the router; the connection ends with it. */
function answerOf(error: SylphError, version: string): { body: string; headers: Record<string, string> } {
  const body = JSON.stringify(errorAnswerOf(error));
  return {
    body,
    headers: {
      'content-type': 'application/json; charset=utf-8',
      'content-length': String(Buffer.byteLength(body)),
      'x-request-id': randomUUID(),
      'sprite-version': `v${version}`,
      connection: 'close',
    },
  };
}
