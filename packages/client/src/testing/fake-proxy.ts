import { connect } from 'node:net';
import type { WebSocket } from 'ws';

/** Serves a socket of `…/proxy` with connections of this machine. `halfClose`: as servers that know it. */
export function serveProxy(ws: WebSocket, halfClose: boolean): void {
  ws.on('error', () => undefined); // Clients break off; the test looks at what they do.
  ws.once('message', (first: Buffer) => {
    const { host, port, half_close } = JSON.parse(first.toString()) as {
      host: string;
      port: number;
      half_close?: boolean;
    };
    const asked = halfClose && half_close === true;
    ws.pause();
    const socket = connect({
      allowHalfOpen: true,
      host: host === 'localhost' ? '127.0.0.1' : host,
      port,
    });
    let connected = false;
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (!connected) ws.send(JSON.stringify({ status: 'error', error: error.message, code: error.code }));
      ws.close(connected ? 1011 : 4502, error.message);
    });
    socket.on('connect', () => {
      connected = true;
      const answer = { status: 'connected', target: `127.0.0.1:${port}` };
      ws.send(JSON.stringify(asked ? { ...answer, half_close: true } : answer));
      ws.on('message', (data: Buffer, isBinary: boolean) => {
        if (asked && !isBinary) socket.end();
        else if (!socket.write(data)) ws.pause();
      });
      socket.on('drain', () => ws.resume());
      socket.on('data', (data: Buffer) => ws.send(data));
      socket.on('end', () => ws.close(1000));
      ws.resume();
    });
    ws.on('close', (code) => (code === 1000 ? socket.end() : socket.destroy()));
  });
}
