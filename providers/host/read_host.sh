# Reads what a node knows about itself, in one go, changing nothing. Nothing is ever put into this text.
# Each part begins with a line "@@ NAME" and ends with "@@= EXIT-CODE"; what a part says on stderr is dropped.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
TZ=UTC0
export PATH LC_ALL TZ
part() {
  printf '@@ %s\n' "$1"
  shift
  "$@" 2>/dev/null
  printf '\n@@= %s\n' "$?"
}
vdevs() {
  zpool list -H -o name | while IFS= read -r pool; do
    printf 'pool\t%s\n' "$pool"
    zpool get -Hp -o name,property,value ashift "$pool" all-vdevs
  done
}
tools() {
  for tool in perl qemu-img zfs zpool udevadm dd; do
    command -v "$tool" >/dev/null && printf '%s\n' "$tool"
  done
  :
}
# The searches below find nothing or cannot read one of many: that is no failure.
parameters() {
  grep -Hrs . /sys/module/zfs/parameters
  :
}
modprobe_options() {
  # In the order in which modprobe reads them; files of other names it does not read.
  for file in /usr/lib/modprobe.d/*.conf /run/modprobe.d/*.conf /etc/modprobe.d/*.conf; do
    grep -Hs '^[[:space:]]*options[[:space:]]' "$file"
  done
  :
}
# An instance ("zfs-trim-monthly@tank.timer") is enabled by its link alone: list-unit-files shows its template only.
enabled_timers() {
  systemctl list-unit-files --type=timer --state=enabled --no-legend --no-pager
  for link in /etc/systemd/system/*.wants/*trim*.timer; do
    [ -L "$link" ] && printf '%s\n' "${link##*/}"
  done
  :
}
trim_jobs() {
  grep -lrs '^[^#]*/zfs-linux/trim' /etc/cron.d
  :
}
part node uname -n
part kernel uname -r
part zfs-version cat /sys/module/zfs/version
part datasets zfs get -Hp -t filesystem,volume -o name,property,value,source all
part snapshots zfs list -Hp -t snapshot -o name -s createtxg
part pools zpool list -Hp -o name,size,allocated,free,fragmentation,capacity,health
part pool-properties zpool get -Hp -o name,property,value autotrim,readonly
part vdevs vdevs
part status zpool status -pLPt
part mounts findmnt -rn -o TARGET,SOURCE,FSTYPE
part swaps cat /proc/swaps
part memory cat /proc/meminfo
part arc cat /proc/spl/kstat/zfs/arcstats
part parameters parameters
part modprobe modprobe_options
part disks lsblk -rbnp -o NAME,TYPE,ROTA,SIZE
part timers enabled_timers
part cron trim_jobs
part tools tools
printf '@@ end\n@@= 0\n'
