/**
 * Networks that are nobody's on the internet: this host, private, carrier-grade, link-local and metadata, documentation, multicast, reserved (IANA special-purpose registries). Neither guests nor what users have the
 * daemon send may reach them. Within a family none overlaps another.
 */
export const specialNetworks = {
  ipv4: [
    '0.0.0.0/8',
    '10.0.0.0/8',
    '100.64.0.0/10',
    '127.0.0.0/8',
    '169.254.0.0/16',
    '172.16.0.0/12',
    '192.0.0.0/24',
    '192.0.2.0/24',
    '192.168.0.0/16',
    '198.18.0.0/15',
    '198.51.100.0/24',
    '203.0.113.0/24',
    '224.0.0.0/3',
  ],
  // Only global unicast (2000::/3) is public, without the parts that carry IPv4 addresses or are for documentation.
  ipv6: ['::/3', '2001::/32', '2001:db8::/32', '2002::/16', '4000::/2', '8000::/1'],
} as const;
