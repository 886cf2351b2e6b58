export { PortsChannelFactory } from './factory.ts';
