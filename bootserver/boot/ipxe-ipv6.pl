#!/usr/bin/perl
# Sends one router advertisement that advertises nothing, to one machine: ipxe-ipv6.ts says why. perl-base is enough.
# Arguments: INTERFACE LINK-LOCAL-ADDRESS
use strict;
use warnings;
use Socket;

my ($interface, $address) = @ARGV;
socket(my $socket, AF_INET6, SOCK_RAW, Socket::IPPROTO_ICMPV6) or die "socket: $!\n";
setsockopt($socket, SOL_SOCKET, Socket::SO_BINDTODEVICE, "$interface\0") or die "device: $!\n";
# RFC 4861 6.1.2: dropped unless the hop limit shows that it crossed no router.
setsockopt($socket, Socket::IPPROTO_IPV6, Socket::IPV6_UNICAST_HOPS, 255) or die "hops: $!\n";
# Type 134; router lifetime 0 is "not a default router" (RFC 4861 4.2). The kernel fills in the checksum.
my $advertisement = pack 'C C n C C n N N', 134, 0, 0, 0, 0, 0, 0, 0;
send($socket, $advertisement, 0, Socket::pack_sockaddr_in6(0, Socket::inet_pton(AF_INET6, $address))) or die "send: $!\n";
