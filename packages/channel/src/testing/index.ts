export { RealAgent } from './real-agent.ts';
export { Relay } from './relay.ts';
