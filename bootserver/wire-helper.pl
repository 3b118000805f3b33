#!/usr/bin/perl
# What the boot server needs root for, and nothing else: it opens sockets that are bound to one interface and hands them
# to the Node process that started this program, asks whether an address is in use, advertises to iPXE that there is no
# IPv6 router, and tells when the interface changes. wire-helper.ts is its other end.
#
# Node cannot bind a socket to a device (SO_BINDTODEVICE), and a DHCP server on the wrong wire is a disaster. The
# descriptors travel as SCM_RIGHTS over Node's own IPC channel, so they arrive close-on-exec: a program that the server
# starts (Redis, say) never inherits port 67 and keeps it after the server has died.
# It lives as long as the channel. Only perl-base is needed. Argument: INTERFACE.
use strict;
use warnings;
use Config;
use Errno;
use Socket;

my ($interface) = @ARGV;
my $channel = $ENV{NODE_CHANNEL_FD};
open(my $ipc, '+<&=', $channel) or die "no channel to the boot server: $!\n";
# Ctrl-C in a terminal reaches both: the server takes its leave of clients first, then closes the channel.
$SIG{INT} = $SIG{TERM} = 'IGNORE';
$0 = "bootwave-wire-helper $interface";

my %linux = (AF_NETLINK => 16, AF_PACKET => 17, ETH_P_ARP => 0x0806, SIOCGIFINDEX => 0x8933, SIOCGIFHWADDR => 0x8927,
  SO_RCVBUFFORCE => 33, SOL_UDP => 17, UDP_SEGMENT => 103, IPV6_FREEBIND => 78);
# The watch begins before anything is read, so that no change falls between the two.
my $netlink = open_netlink();
my $index = index_of();
my ($packets, $echoes, $routers);
my $rest = '';
# Addresses that were asked about lately and not heard of yet, and those of the turn before; see note_asked.
my ($asked, $asked_before, $turned) = ({}, {}, time);
inform(qq({"ifindex":$index}));

for (;;) {
  my $ready = '';
  my @sources = grep { defined } $ipc, $netlink, $packets, $echoes;
  vec($ready, fileno $_, 1) = 1 for @sources;
  next if select($ready, undef, undef, undef) < 0;
  my $is = sub { defined $_[0] && vec($ready, fileno $_[0], 1) };
  watch() if $is->($netlink);
  hear_arp() if $is->($packets);
  hear_echo() if $is->($echoes);
  obey() if $is->($ipc);
}

# Each order is a JSON string of plain words; Node's acknowledgements of handles come between them.
sub obey {
  sysread($ipc, $rest, 65536, length $rest) or exit 0;
  while ($rest =~ s/^([^\n]*)\n//) {
    next if $1 !~ /^"([^"\\]*)"$/;
    my ($verb, @words) = split / /, $1;
    if ($verb eq 'open') { open_sockets(@words) }
    elsif ($verb eq 'arp') { ask_arp(@words) }
    elsif ($verb eq 'echo') { ask_echo(@words) }
    elsif ($verb eq 'advertise') { advertise(@words) }
    elsif ($verb eq 'quit') { exit 0 }
  }
}

# --- sockets ---------------------------------------------------------------------------------------------------------

# ID, then NAME,PROTOCOL,ADDRESS,PORT,SHARED,SEGMENT for each. Those that were opened before a failure are the caller's to close.
sub open_sockets {
  my ($id, @wanted) = @_;
  for (@wanted) {
    my ($name, $protocol, $address, $port, $shared, $segment) = split /,/;
    my $udp = $protocol eq 'udp';
    my $fail = sub { report($id, $name, $_[0], $!); 1 };
    my $six = $address =~ /:/;
    socket(my $socket, $six ? AF_INET6 : AF_INET, $udp ? SOCK_DGRAM : SOCK_STREAM, 0) or $fail->('socket') && return;
    bind_device($socket) or $fail->('device') && return;
    if ($six) {
      setsockopt($socket, Socket::IPPROTO_IPV6, Socket::IPV6_V6ONLY, 1) or $fail->('option') && return;
      # The kernel looks for a second whether an address that was just added is free, and does not let it be bound until then.
      setsockopt($socket, Socket::IPPROTO_IPV6, $linux{IPV6_FREEBIND}, 1) or $fail->('option') && return;
    }
    # For TCP it means "restart at once"; for UDP it would let two servers share port 67 and both answer, so there it is
    # for a client's port alone.
    if (!$udp || $shared) { setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1) or $fail->('option') && return }
    if ($udp) {
      setsockopt($socket, SOL_SOCKET, SO_BROADCAST, 1) or $fail->('option') && return;
      # A rack that is switched on sends a thousand packets at once; the default holds some two hundred, and what waits
      # for more than a second waits in vain. Best effort.
      setsockopt($socket, SOL_SOCKET, $linux{SO_RCVBUFFORCE}, 1 << 20) if $port;
      if ($segment) { setsockopt($socket, $linux{SOL_UDP}, $linux{UDP_SEGMENT}, pack('l', $segment)) or $fail->('segment') && return }
    }
    my $place = $six ? Socket::pack_sockaddr_in6($port, Socket::inet_pton(AF_INET6, $address))
      : pack_sockaddr_in($port, inet_aton($address));
    bind($socket, $place) or $fail->('bind') && return;
    if (!$udp) { listen($socket, SOMAXCONN) or $fail->('listen') && return }
    hand_over($id, $name, $udp && ($six ? 'udp6' : 'udp4'), $socket);
  }
}

sub bind_device { setsockopt($_[0], SOL_SOCKET, Socket::SO_BINDTODEVICE, "$interface\0") }

# Node's message for a handle: one JSON line whose segment carries the descriptor. Our own copy closes with its scope.
sub hand_over {
  my ($id, $name, $udp, $socket) = @_;
  my $msg = qq({"id":$id,"name":"$name"});
  my $line = $udp
    ? qq({"cmd":"NODE_HANDLE","type":"dgram.Socket","dgramType":"$udp","msg":$msg}\n)
    : qq({"cmd":"NODE_HANDLE","type":"net.Native","msg":$msg}\n);
  my $vector = pack('P Q', $line, length $line);
  # struct cmsghdr (1 is SCM_RIGHTS) and struct msghdr of 64-bit Linux; 0x4000 is MSG_NOSIGNAL.
  my $control = pack('Q l l l x4', 20, SOL_SOCKET, 1, fileno $socket);
  my $message = pack('Q L x4 P Q P Q l x4', 0, 0, $vector, 1, $control, length $control, 0);
  my $sendmsg = { x86_64 => 46, aarch64 => 211 }->{ (split /-/, $Config{archname})[0] } or die "unknown machine\n";
  syscall($sendmsg, fileno $ipc, $message, 0x4000) == length $line or report($id, $name, 'hand-over', $!);
}

sub report {
  my ($id, $name, $step, $error) = @_;
  my $code = $!{EADDRINUSE} ? 'EADDRINUSE' : $!{ENODEV} ? 'ENODEV' : $!{EPERM} || $!{EACCES} ? 'EPERM'
    : $!{EADDRNOTAVAIL} ? 'EADDRNOTAVAIL' : 'OTHER';
  $error =~ s/[^ -~]|["\\]//g;
  inform(qq({"id":$id,"name":"$name","step":"$step","code":"$code","error":"$error"}));
}

sub inform { syswrite($ipc, "$_[0]\n") or exit 0 }

# --- the interface ---------------------------------------------------------------------------------------------------

sub open_netlink {
  socket(my $socket, $linux{AF_NETLINK}, SOCK_RAW, 0) or die "netlink: $!\n";
  # RTMGRP_LINK, RTMGRP_IPV4_IFADDR and RTMGRP_IPV6_IFADDR (rtnetlink(7)).
  bind($socket, pack('S S L L', $linux{AF_NETLINK}, 0, 0, 1 | 0x10 | 0x100)) or die "netlink: $!\n";
  return $socket;
}

# 0: there is no such interface.
sub index_of {
  socket(my $socket, PF_INET, SOCK_DGRAM, 0) or return 0;
  my $request = pack('a16 x24', $interface);
  ioctl($socket, $linux{SIOCGIFINDEX}, $request) or return 0;
  return unpack('x16 i', $request);
}

# Says "changed" for what concerns our interface only: a host of containers has many that come and go.
sub watch {
  my $ours = 0;
  if (!defined recv($netlink, my $bytes, 65536, 0)) {
    # ENOBUFS: events were lost.
    $ours = 1;
  } else {
    # struct nlmsghdr; both ifinfomsg and ifaddrmsg hold the interface's index 4 bytes behind it.
    while (length $bytes >= 16) {
      my $length = unpack 'L', $bytes;
      last if $length < 16;
      $ours = 1 if $length >= 24 && length $bytes >= 24 && unpack('x20 i', $bytes) == $index;
      my $next = ($length + 3) & ~3;
      last if $next >= length $bytes;
      $bytes = substr $bytes, $next;
    }
  }
  my $now = index_of();
  $ours = 1 if $now != $index;
  $index = $now;
  return if !$ours;
  # Its hardware address may be another one now.
  undef $packets;
  inform('{"changed":true}');
}

# --- is this address in use? -----------------------------------------------------------------------------------------

# Forgets in turns of seconds what nobody answered: looking for what is old among thousands would cost more than asking.
sub note_asked {
  my ($target) = @_;
  my $now = time;
  ($asked, $asked_before, $turned) = ({}, $asked, $now) if $now < $turned || $now >= $turned + 5;
  $asked->{$target} = 1;
}

sub heard {
  my ($address, $mac) = @_;
  return if !(delete $asked->{$address} || delete $asked_before->{$address});
  inform(qq({"heard":"$address","mac":"$mac"}));
}

# SOURCE TARGET...: who has each TARGET (RFC 826)?
sub ask_arp {
  my ($source, @targets) = @_;
  my $to = pack('S n i S C C a8', $linux{AF_PACKET}, $linux{ETH_P_ARP}, $index, 1, 0, 6, "\xff" x 6);
  open_packets() or return if !defined $packets;
  my $mac = hardware_address() // return;
  for my $target (@targets) {
    note_asked($target);
    my @asks = (inet_aton($source), "\0" x 6, inet_aton($target));
    send($packets, pack('n n C C n a6 a4 a6 a4', 1, 0x0800, 6, 4, 1, $mac, @asks), 0, $to);
  }
}

my $our_mac;
sub hardware_address {
  return $our_mac if defined $our_mac;
  my $request = pack('a16 x24', $interface);
  ioctl($packets, $linux{SIOCGIFHWADDR}, $request) or return undef;
  return $our_mac = unpack('x18 a6', $request);
}

sub open_packets {
  undef $our_mac;
  socket($packets, $linux{AF_PACKET}, SOCK_DGRAM, unpack('S', pack('n', $linux{ETH_P_ARP}))) or return undef $packets;
  bind($packets, pack('S n i S C C a8', $linux{AF_PACKET}, $linux{ETH_P_ARP}, $index, 0, 0, 0, ''))
    or return undef $packets;
  return 1;
}

# RFC 5227 2.1.1: any ARP packet, question or answer, whose sender has the address.
sub hear_arp {
  my $from = recv($packets, my $bytes, 2048, 0) // return;
  return if length $bytes < 28;
  my ($hardware, $protocol, undef, undef, undef, $mac, $address) = unpack('n n C C n a6 a4', $bytes);
  return if $hardware != 1 || $protocol != 0x0800;
  heard(inet_ntoa($address), join ':', unpack '(H2)6', $mac);
}

# TARGET...: an ICMP echo request to each, for addresses behind a relay.
sub ask_echo {
  my @targets = @_;
  if (!defined $echoes) {
    socket($echoes, PF_INET, SOCK_RAW, Socket::IPPROTO_ICMP) or return undef $echoes;
    bind_device($echoes) or return undef $echoes;
  }
  my $id = $$ & 0xffff;
  my $packet = pack('C C n n n', 8, 0, 0, $id, 1);
  my $sum = unpack '%32n*', $packet;
  $sum = ($sum & 0xffff) + ($sum >> 16);
  substr $packet, 2, 2, pack 'n', ~($sum + ($sum >> 16)) & 0xffff;
  for my $target (@targets) {
    note_asked($target);
    send($echoes, $packet, 0, pack_sockaddr_in(0, inet_aton($target)));
  }
}

sub hear_echo {
  my $from = recv($echoes, my $bytes, 2048, 0) // return;
  my $header = (unpack('C', $bytes) & 15) * 4;
  return if length $bytes < $header + 8;
  my ($type, undef, undef, $id) = unpack("x$header C C n n", $bytes);
  heard(inet_ntoa((unpack_sockaddr_in($from))[1]), '') if $type == 0 && $id == ($$ & 0xffff);
}

# --- iPXE's wait for an IPv6 router (boot/ipxe-ipv6.ts) --------------------------------------------------------------

# LINK-LOCAL-ADDRESS: one router advertisement that advertises nothing, to one machine.
sub advertise {
  my ($address) = @_;
  if (!defined $routers) {
    socket($routers, AF_INET6, SOCK_RAW, Socket::IPPROTO_ICMPV6) or return undef $routers;
    bind_device($routers) or return undef $routers;
    # RFC 4861 6.1.2: dropped unless the hop limit shows that it crossed no router.
    setsockopt($routers, Socket::IPPROTO_IPV6, Socket::IPV6_UNICAST_HOPS, 255) or return undef $routers;
  }
  # Type 134; router lifetime 0 is "not a default router" (RFC 4861 4.2). The kernel fills in the checksum.
  my $nothing = pack 'C C n C C n N N', 134, 0, 0, 0, 0, 0, 0, 0;
  my $to = Socket::inet_pton(AF_INET6, $address) // return;
  send($routers, $nothing, 0, Socket::pack_sockaddr_in6(0, $to));
}
