# What is known of a volume's block device. Run as "perl - device NAME" or "perl - holders NAME"; prints rows of a key,
# a tab and a value. Only "holders" looks at other processes and needs root.
use strict;
use warnings;

my ($mode, $name) = @ARGV;
die "a mode and a volume are wanted\n" unless defined $name && $mode =~ /\A(?:device|holders)\z/;
die "\"$name\" is no volume name\n" unless $name =~ m{\A[A-Za-z][A-Za-z0-9_.:-]*(?:/[A-Za-z0-9_.:-]+)+\z};
die "root is needed to see who holds a device\n" if $mode eq 'holders' && $> != 0;

my $target = readlink "/dev/zvol/$name";
if (!defined $target) {
  print "absent\t$name\n";
  exit 0;
}
my ($disk) = $target =~ m{(?:\A|/)(zd[0-9]+)\z} or die "/dev/zvol/$name leads to \"$target\"\n";

sub first_line {
  my ($file) = @_;
  open my $in, '<', $file or die "$file: $!\n";
  my $line = <$in>;
  chomp $line if defined $line;
  return $line // '';
}

sub entries {
  my ($folder) = @_;
  opendir my $dir, $folder or return;
  return grep { !/\A\.\.?\z/ } readdir $dir;
}

print "device\t/dev/$disk\n";
print "size\t", first_line("/sys/block/$disk/size") * 512, "\n";  # always in sectors of 512 bytes
print "block\t", first_line("/sys/block/$disk/queue/physical_block_size"), "\n";
exit 0 if $mode eq 'device';

my @parts = grep { /\A\Q$disk\Ep[0-9]+\z/ } entries("/sys/block/$disk");
for my $above (entries("/sys/block/$disk/holders"), map { entries("/sys/block/$disk/$_/holders") } @parts) {
  print "holder\tdevice $above\n";
}
my %ours = map { ("/dev/$_" => 1) } $disk, @parts;
for my $table ('/proc/self/mounts', '/proc/swaps') {
  open my $in, '<', $table or next;
  while (my $line = <$in>) {
    my ($device, $where) = split ' ', $line;
    next unless defined $device && $ours{$device};
    print "holder\t", $table eq '/proc/swaps' ? 'swap' : "mount $where", "\n";
  }
}
for my $pid (grep { /\A[0-9]+\z/ } entries('/proc')) {
  for my $fd (entries("/proc/$pid/fd")) {
    my $open = readlink("/proc/$pid/fd/$fd") // next;
    next unless $ours{$open};
    my $program = eval { first_line("/proc/$pid/comm") } // '?';
    print "holder\t$pid ($program)\n";
    last;
  }
}
