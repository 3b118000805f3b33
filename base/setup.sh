#!/bin/bash
# Installs what a fresh Debian 12 machine lacks, names it, and does nothing when nothing is missing.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

# What each package is for stands beside it; `doctor` reads this list too.
packages=(
  nodejs npm           # only to run `npm ci`; everything else runs on the Node that package-lock.json pins
  mmdebstrap squashfs-tools cpio zstd kmod binutils   # image: root, initrd
  systemd-boot-efi sbsigntool efitools openssl uuid-runtime ipxe busybox-static   # image: UKI, Secure Boot
  umoci cryptsetup-bin   # services: unpacks images, makes the tree of hashes
  gcc libc6-dev        # image: the relay that is the shell of the link's account
  libmd-dev            # image: SHA-256 in the program that copies files, which has no libraries in an instance
  systemd              # tests: systemd-measure, the second opinion on PCR 11
  redis-server         # the embedded Redis
  age                  # backups
  qemu-system-x86 ovmf swtpm swtpm-tools iproute2 tpm2-tools   # lab and tests
  ipmitool             # power: BMCs that speak IPMI
  openipmi redfishtool python3-sushy   # lab and tests: BMCs, and clients of them that others wrote
  openssh-server openssh-client   # tests of the link run a node's sshd on loopback
  curl                 # tests and benches: the HTTP and TFTP client that others wrote
  skopeo crun          # tests of services: writes images as others do; contains what was built
  user-mode-linux dosfstools e2fsprogs fdisk   # tests of the disk: a kernel with vfat whose power can be cut
  python3-prometheus-client   # tests: reads what Prometheus is told
  nginx-light dnsmasq-base tftp-hpa nftables   # peers that tests and benches compare with
)

if [[ ${1:-} == --list ]]; then
  printf '%s\n' "${packages[@]}"
  exit 0
fi

stop() { echo "setup: $1" >&2; exit 1; }

missing=()
for package in "${packages[@]}"; do
  # Any node and npm will do: they only unpack the lockfile.
  if [[ $package == nodejs ]] && command -v node >/dev/null; then continue; fi
  if [[ $package == npm ]] && command -v npm >/dev/null; then continue; fi
  status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
  [[ $status == "install ok installed" ]] || missing+=("$package")
done

if ((${#missing[@]} > 0)); then
  [[ -r /etc/os-release ]] && . /etc/os-release
  [[ ${ID:-} == debian && ${VERSION_ID:-} == 12 ]] ||
    stop "this needs Debian 12 (found: ${PRETTY_NAME:-unknown}); missing packages: ${missing[*]}"
  ((EUID == 0)) || stop "this must run as root once, to install: ${missing[*]}"
  free=$(df --output=avail -k /var/cache/apt | tail -1)
  ((free > 4 * 1024 * 1024)) || stop "this needs 4 GiB free below /var, found $((free / 1024)) MiB"
  echo "setup: installing Debian packages: ${missing[*]}"
  # Debian's redis-server starts a system service; ours is private, so keep theirs from starting.
  export DEBIAN_FRONTEND=noninteractive
  # Nor may a machine that had no SSH server begin to listen because ours are tested on it (ssh.service asks for this file).
  if [[ " ${missing[*]} " == *" openssh-server "* ]]; then
    mkdir -p /etc/ssh
    touch /etc/ssh/sshd_not_to_be_run
  fi
  apt-get update -qq || stop "the package lists could not be fetched (apt-get update failed); check the network"
  RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    stop "apt-get could not install: ${missing[*]}"
fi

# npm ci is slow when nothing changed; the stamp is the lockfile that was installed.
stamp=node_modules/.installed-lock
if ! cmp -s package-lock.json "$stamp"; then
  echo "setup: installing npm packages (npm ci)"
  # No package here needs its install script; without them nothing is compiled or downloaded.
  npm ci --ignore-scripts --no-fund --no-audit --loglevel=error || stop "npm ci failed; is the registry reachable?"
  cp package-lock.json "$stamp"
fi
