/**
 * The kernel modules that an image carries, by what they are for. Only what is named here, and what it depends on,
 * goes in: every megabyte is hashed by the firmware and kept in memory on every node. Names use underscores, as
 * modprobe prints them. No display drivers: the kernel's own efifb and VGA text console show the agent's screen on
 * every server and BMC. Modules keep Debian's signatures, without which a locked-down kernel refuses them, so they are
 * never stripped or recompressed.
 */
export type ModuleGroup = { group: string; why: string; modules: readonly string[] };

const words = (text: string): string[] => text.trim().split(/\s+/);

/** Loaded by the initrd before the root exists; everything else is loaded by udev when the hardware shows up. */
export const INITRD_MODULES: readonly string[] = ['loop', 'squashfs'];

export const MODULE_GROUPS: readonly ModuleGroup[] = [
  {
    group: 'ethernet, Intel',
    why: '1G igb/e1000e, 2.5G igc, 10G ixgbe, 10/25/40G i40e, 25/100G ice; e1000 is what hypervisors emulate; *vf behind SR-IOV',
    modules: words('e1000 e1000e igb igbvf igc ixgbe ixgbevf i40e iavf ice'),
  },
  {
    group: 'ethernet, Broadcom and QLogic',
    why: 'on board of most Dell, HPE and Supermicro servers of the last fifteen years',
    modules: words('tg3 bnx2 bnx2x bnxt_en qede qlcnic netxen_nic'),
  },
  {
    group: 'ethernet, NVIDIA Mellanox',
    why: 'ConnectX-3 (mlx4) and ConnectX-4 and later (mlx5), 10 to 400G',
    modules: words('mlx4_core mlx4_en mlx5_core'),
  },
  {
    group: 'ethernet, other adapters',
    why: 'Chelsio, Emulex, Cisco UCS, AMD, Solarflare, Netronome, Marvell Aquantia, Realtek, Huawei, Myricom, and small boards',
    modules: words(
      'cxgb4 cxgb4vf be2net enic amd_xgbe sfc sfc_siena sfc_falcon nfp atlantic r8169 8139too 8139cp hinic myri10ge alx atl1c sky2 forcedeth dwmac_intel',
    ),
  },
  {
    group: 'ethernet, PHYs',
    why: 'the drivers above find these by PHY id; a missing one falls back to the generic PHY and may lose link',
    modules: words('realtek marvell broadcom bcm_phy_lib aquantia smsc mdio_i2c sfp'),
  },
  {
    group: 'ethernet, virtual and cloud',
    why: 'QEMU/KVM, VMware, Hyper-V, Azure, AWS, Google',
    modules: words('virtio_net vmxnet3 hv_netvsc mana ena gve xen_netfront'),
  },
  {
    group: 'ethernet, USB',
    why: 'the host interface of many BMCs (cdc_ether, rndis_host), and the adapter a technician plugs in',
    modules: words('cdc_ether cdc_ncm rndis_host r8152 ax88179_178a asix'),
  },
  {
    group: 'network functions',
    why: 'what services and remote sites need: bonds, VLANs, bridges, veth, filtering, tunnels',
    modules: words(
      `bonding 8021q bridge br_netfilter veth dummy macvlan ipvlan tun wireguard vxlan vrf ifb
       nf_tables nft_ct nft_nat nft_masq nft_chain_nat nft_limit nft_log nft_reject nft_reject_inet nft_reject_ipv4
       nft_reject_ipv6 nft_fib nft_fib_inet nft_objref nft_quota nft_connlimit nft_hash nft_socket nft_redir nft_numgen
       nf_conntrack nfnetlink_log nf_log_syslog nf_conntrack_netlink
       sch_fq sch_fq_codel sch_htb sch_tbf sch_ingress cls_bpf cls_u32 cls_flower act_police act_mirred act_gact
       tcp_bbr af_packet_diag inet_diag tcp_diag udp_diag`,
    ),
  },
  {
    group: 'disks, NVMe and SATA',
    why: 'what most nodes boot from',
    modules: words('nvme vmd ahci ata_piix ata_generic sata_mv sata_nv sata_sil24 sd_mod sr_mod sg ses'),
  },
  {
    group: 'disks, SAS and RAID controllers',
    why: 'Broadcom/LSI, Dell PERC, HPE Smart Array, Microchip Adaptec, Areca, HighPoint, Intel C600, Marvell',
    modules: words(
      `mpt3sas mpi3mr megaraid_sas megaraid_mbox mptsas mptspi smartpqi hpsa aacraid arcmsr isci mvsas mvumi pm80xx
       3w_9xxx 3w_sas hptiop esas2r ipr`,
    ),
  },
  {
    group: 'disks, virtual',
    why: 'QEMU/KVM, VMware, Hyper-V, Xen',
    modules: words('virtio_blk virtio_scsi vmw_pvscsi hv_storvsc mptspi xen_blkfront'),
  },
  {
    group: 'disks, removable',
    why: 'a recovery stick, and the SD cards and eMMC of small boards',
    modules: words('usb_storage uas mmc_block sdhci_pci sdhci_acpi'),
  },
  {
    group: 'buses of virtual machines',
    why: 'nothing above appears without its bus',
    modules: words(
      'virtio_pci virtio_mmio virtio_balloon virtio_rng virtio_console hv_vmbus hv_utils hv_balloon vmw_balloon qemu_fw_cfg',
    ),
  },
  {
    group: 'file systems',
    why: 'the read-only root, the ESP, the state partition, containers',
    modules: words(
      'loop squashfs overlay vfat nls_ascii nls_cp437 nls_iso8859_1 nls_utf8 ext4 quota_v2 fuse efivarfs isofs autofs4',
    ),
  },
  {
    group: 'disk encryption and integrity',
    why: 'LUKS2 state partition, verity for service bundles, software RAID',
    modules: words(
      'dm_mod dm_crypt dm_verity dm_integrity dm_thin_pool raid0 raid1 raid10 algif_skcipher algif_hash xts ecb cbc aesni_intel sha256_ssse3 sha512_ssse3 crc32c_intel crc32_pclmul crct10dif_pclmul ghash_clmulni_intel adiantum',
    ),
  },
  {
    group: 'TPM',
    why: 'tpm_tis and tpm_crb are built in; these are the rarer ways to attach one',
    modules: words('tpm_tis tpm_crb tpm_infineon tpm_tis_spi tpm_vtpm_proxy'),
  },
  {
    group: 'BMC',
    why: 'inventory, power and the console of the management controller',
    modules: words('ipmi_si ipmi_devintf ipmi_ssif ipmi_poweroff ipmi_watchdog'),
  },
  {
    group: 'watchdogs',
    why: 'a hang after PID 1 must end in a reset: chipset (Intel, AMD, ACPI WDAT), BMC and vendor timers, QEMU, software as last resort',
    modules: words(
      'iTCO_wdt iTCO_vendor_support wdat_wdt sp5100_tco hpwdt mei_wdt i6300esb ib700wdt ie6xx_wdt it87_wdt w83627hf_wdt f71808e_wdt softdog',
    ),
  },
  {
    group: 'sensors and health',
    why: 'temperatures, memory errors and machine checks that health reports need',
    modules: words(
      `coretemp k10temp drivetemp acpi_power_meter i2c_i801 i2c_piix4 i2c_smbus
       edac_mce_amd amd64_edac sb_edac skx_edac i10nm_edac ie31200_edac igen6_edac
       intel_rapl_msr intel_rapl_common x86_pkg_temp_thermal intel_powerclamp acpi_cpufreq acpi_ipmi msr cpuid`,
    ),
  },
  {
    group: 'keyboards and USB',
    why: 'Ctrl-Alt-Del and the remote KVM of a BMC are USB keyboards',
    modules: words(
      'xhci_pci ehci_pci ohci_pci uhci_hcd usbhid hid_generic atkbd i8042 hyperv_keyboard evdev button',
    ),
  },
];
