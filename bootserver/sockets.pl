#!/usr/bin/perl
# Opens the boot server's sockets on one interface and hands them to the Node process that started this program.
# Node cannot bind a socket to a device (SO_BINDTODEVICE), and a DHCP server on the wrong wire is a disaster. The
# descriptors travel as SCM_RIGHTS over Node's own IPC channel, so they arrive close-on-exec: a program that the server
# starts (Redis, say) never inherits port 67 and keeps it after the server has died.
# Only perl-base is needed. Arguments: INTERFACE, then NAME,PROTOCOL,ADDRESS,PORT,SHARED for each socket.
use strict;
use warnings;
use Config;
use Errno;
use Socket;

my $channel = $ENV{NODE_CHANNEL_FD};
open(my $ipc, '+<&=', $channel) or die "no channel to the boot server: $!\n";

my ($interface, @wanted) = @ARGV;
for (@wanted) {
  my ($name, $protocol, $address, $port, $shared) = split /,/;
  my $udp = $protocol eq 'udp';
  my $fail = sub { report($name, $_[0], $!) };
  socket(my $socket, PF_INET, $udp ? SOCK_DGRAM : SOCK_STREAM, 0) or $fail->('socket');
  setsockopt($socket, SOL_SOCKET, Socket::SO_BINDTODEVICE, "$interface\0") or $fail->('device');
  # For TCP it means "restart at once"; for UDP it would let two servers share port 67 and both answer, so there it is
  # for a client's port alone.
  setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1) or $fail->('option') if !$udp || $shared;
  setsockopt($socket, SOL_SOCKET, SO_BROADCAST, 1) or $fail->('option') if $udp;
  bind($socket, pack_sockaddr_in($port, inet_aton($address))) or $fail->('bind');
  listen($socket, SOMAXCONN) or $fail->('listen') if !$udp;
  hand_over($name, $udp, $socket);
}

# Node's message for a handle: one JSON line whose last segment carries the descriptor; Node answers each.
sub hand_over {
  my ($name, $udp, $socket) = @_;
  my $line = $udp
    ? qq({"cmd":"NODE_HANDLE","type":"dgram.Socket","dgramType":"udp4","msg":{"name":"$name"}}\n)
    : qq({"cmd":"NODE_HANDLE","type":"net.Native","msg":{"name":"$name"}}\n);
  my $vector = pack('P Q', $line, length $line);
  # struct cmsghdr (1 is SCM_RIGHTS) and struct msghdr of 64-bit Linux; 0x4000 is MSG_NOSIGNAL.
  my $control = pack('Q l l l x4', 20, SOL_SOCKET, 1, fileno $socket);
  my $message = pack('Q L x4 P Q P Q l x4', 0, 0, $vector, 1, $control, length $control, 0);
  my $sendmsg = { x86_64 => 46, aarch64 => 211 }->{ (split /-/, $Config{archname})[0] } or die "unknown machine\n";
  syscall($sendmsg, fileno $ipc, $message, 0x4000) == length $line or report($name, 'hand-over', $!);
  sysread($ipc, my $answer, 4096) or die "the boot server has gone\n";
}

sub report {
  my ($name, $step, $error) = @_;
  my $code = $!{EADDRINUSE} ? 'EADDRINUSE' : $!{ENODEV} ? 'ENODEV' : $!{EPERM} || $!{EACCES} ? 'EPERM'
    : $!{EADDRNOTAVAIL} ? 'EADDRNOTAVAIL' : 'OTHER';
  $error =~ s/[^ -~]|["\\]//g;
  syswrite($ipc, qq({"name":"$name","step":"$step","code":"$code","error":"$error"}\n));
  exit 1;
}
