#!/usr/bin/perl
# Copies a zvol into another zvol of the same node (another volblocksize, thin instead of thick, another pool), and compares
# two of them. It is sent to the node and run there as root, from standard input or from a file:
#
#   perl - copy [--since SNAPSHOT] [--limit BYTES_PER_SECOND] SOURCE TARGET
#   perl - compare SOURCE TARGET
#
# Standard output, a line each: "total BYTES", "done BYTES", "source HEX", "target HEX", "end". A failure: exit status 1, the
# last line on standard error is the reason. Needs only what every PVE node has: perl-base, zfsutils-linux, coreutils, udev.
#
# How it copies: `zfs send` lists what is allocated, in order, with the data. So holes cost nothing, nothing is read twice, and
# a snapshot needs no device. The records go to the target's device with O_DIRECT (a buffered write would hide "no space left"
# until fsync). After each batch the pool is synced, the batch is read back and compared, and only then the target's property
# "pvereconcile:copied" says so. A copy that was killed goes on behind that offset.
use strict;
use warnings;

package Pvereconcile::Node;

# Everything that touches the node. The tests put plain files and recorded streams in its place.

use Fcntl qw(O_RDONLY O_RDWR O_EXCL O_DIRECT);
use Errno qw(EBUSY ENOENT ENXIO EINTR);

use constant {
  BLKDISCARD    => 0x1277,
  BLKGETSIZE64  => 0x8008_1272,
  BLKZNAME      => 0x8100_127D,    # OpenZFS: which dataset does this device belong to?
  F_SETPIPE_SZ  => 1031,
  PIPE_BYTES    => 1 << 20,
  WAIT_TRIES    => 100,            # for device links and for what a killed copy still holds open
  WAIT_SECONDS  => 0.1,
};

sub new { my ($class) = @_; return bless {}, $class }

# Runs a command to its end; returns what it printed. A failure carries the last line of it.
sub run {
  my ($self, @command) = @_;
  my $pid = open(my $out, '-|') // die "cannot start $command[0]: $!\n";
  if (!$pid) {
    open(STDIN,  '<',  '/dev/null');
    open(STDERR, '>&', \*STDOUT);
    exec { $command[0] } @command or POSIX::_exit(127);
  }
  local $/ = undef;
  my $text = <$out> // '';
  if (!close $out) {
    my $reason = (grep { /\S/ } split /\n/, $text)[-1] // "exit status " . ($? >> 8);
    die "$command[0] $command[1]: $reason\n";
  }
  return $text;
}

# Properties of datasets and snapshots, by name; "-" is no value. A user property counts only where it was set: they are
# inherited. One command for all: starting one takes longer than what it does.
sub properties {
  my ($self, $names, @wanted) = @_;
  my %found;
  my @command = ('zfs', 'get', '-Hp', '-o', 'name,property,value,source', join(',', @wanted), @{$names});
  for my $line (split /\n/, $self->run(@command)) {
    my ($name, $property, $value, $from, @more) = split /\t/, $line, -1;
    die "zfs get: unexpected line \"$line\"\n" if !defined $from || @more;
    $found{$name}{$property} = $property =~ /:/ && $from ne 'local' ? '-' : $value;
  }
  for my $name (@{$names}) {
    for (@wanted) { die "zfs get: nothing about $_ of $name\n" if !defined $found{$name}{$_} }
  }
  return \%found;
}

# One call is one transaction: either all of these properties are set or none.
sub set_properties {
  my ($self, $name, %values) = @_;
  $self->run('zfs', 'set', (map { "$_=$values{$_}" } sort keys %values), $name);
  return;
}

# Returns when everything written so far to these volumes is on the disks.
sub sync_pools {
  my ($self, @names) = @_;
  my %pools = map { s{/.*}{}sr => 1 } @names;
  $self->run('zpool', 'sync', sort keys %pools);
  return;
}

# The bytes a stream will have, about. `zfs send -n` refuses a volume itself; its properties must do there: `referenced` is the
# one that was read already.
sub estimate {
  my ($self, $name, $since, $referenced) = @_;
  if ($name !~ /@/) {
    return $referenced if !defined $since;
    my $property = 'written@' . ($since =~ s/.*@//r);
    return $self->properties([$name], $property)->{$name}{$property};
  }
  my $text = $self->run('zfs', 'send', '-nP', (defined $since ? ('-i', $since) : ()), $name);
  my ($bytes) = $text =~ /^size\t(\d+)$/m or die "zfs send -nP: no size in its answer\n";
  return $bytes;
}

# Starts `zfs send`; {fh, pid, errors}. Without -c, -e, -w: plain blocks, neither compressed nor embedded nor encrypted. Without
# -L blocks above 128 KiB come in pieces, which bounds a record. Sending a volume itself (no snapshot) makes ZFS own it: until
# the stream ends nobody can open its device.
sub open_send {
  my ($self, $name, $since) = @_;
  my @command = ('zfs', 'send', (defined $since ? ('-i', $since) : ()), $name);
  for my $try (1 .. WAIT_TRIES) {
    pipe(my $errors, my $errors_in) or die "pipe: $!\n";
    my $pid = open(my $fh, '-|') // die "cannot start zfs: $!\n";
    if (!$pid) {
      open(STDIN,  '<',  '/dev/null');
      open(STDERR, '>&', $errors_in);
      exec { $command[0] } @command or POSIX::_exit(127);
    }
    close $errors_in;
    binmode $fh;
    fcntl($fh, F_SETPIPE_SZ, PIPE_BYTES);    # only speed: a refusal does not matter
    my $send = {fh => $fh, pid => $pid, errors => $errors, ahead => ''};
    while (!defined sysread($fh, $send->{ahead}, 4096)) { die "zfs send: $!\n" if $! != EINTR }
    return $send if length $send->{ahead};
    # Nothing came. Busy is what udev, or the end of a killed copy, makes of a volume for a moment.
    my $good = eval { $self->close_send($send, 1); 1 };
    die "zfs send: it gave nothing\n" if $good;
    die $@ if $@ !~ /busy/ || $try == WAIT_TRIES;
    select(undef, undef, undef, WAIT_SECONDS);
  }
}

# Ends a stream that is no longer wanted, or reports how it ended.
sub close_send {
  my ($self, $send, $wanted) = @_;
  if (!$wanted) { kill 'TERM', $send->{pid} }
  my $good   = close $send->{fh};
  my $errors = do { local $/ = undef; readline $send->{errors} } // '';
  return if $good || !$wanted;
  die "zfs send: " . ((grep { /\S/ } split /\n/, $errors)[-1] // "it ended early") . "\n";
}

# The device of a volume, opened past the page cache. `mode`: "copy" (to write, claimed: a second copy is refused), "look"
# (to read, claimed) or "again" (to read, next to one's own claim).
sub open_volume {
  my ($self, $name, $mode) = @_;
  (my $link = "/dev/zvol/$name") =~ tr/ /+/;    # as udev's zvol_id writes spaces
  my $flags = O_DIRECT | ($mode eq 'copy' ? O_RDWR : O_RDONLY) | ($mode eq 'again' ? 0 : O_EXCL);
  for my $try (1 .. WAIT_TRIES) {
    if (sysopen(my $fh, $link, $flags)) {
      binmode $fh;
      # Links follow a rename late, so ask the device itself.
      my $owner = "\0" x 256;
      ioctl($fh, BLKZNAME, $owner) or die "$link is not a zvol: $!\n";
      $owner =~ s/\0.*//s;
      return $fh if $owner eq $name;
      close $fh;
    } elsif ($! != ENOENT && $! != ENXIO && $! != EBUSY) {
      die "cannot open $link: $!\n";
    } elsif ($try == WAIT_TRIES) {
      die $! == EBUSY ? "$name is in use: another copy, or something else holds its device\n" : "cannot open $link: $!\n";
    }
    if ($try == 1) { $self->run('udevadm', 'settle', '--timeout=30') }
    select(undef, undef, undef, WAIT_SECONDS);
  }
  die "$link leads to another volume than $name\n";
}

sub device_size {
  my ($self, $fh) = @_;
  my $size = pack('Q', 0);
  ioctl($fh, BLKGETSIZE64, $size) or die "cannot read a device's size: $!\n";
  return unpack('Q', $size);
}

# Gives the space of whole blocks back; they read as zeroes afterwards.
sub discard {
  my ($self, $fh, $from, $to) = @_;
  while ($from < $to) {
    my $length = $to - $from;
    if ($length > 1 << 30) { $length = 1 << 30 }    # so that a signal is noticed in between
    ioctl($fh, BLKDISCARD, pack('QQ', $from, $length)) or die "cannot discard at $from: $!\n";
    $from += $length;
  }
  return;
}

use constant STATE => qw(createtxg logicalreferenced volsize written);

# From `properties` of STATE, read just now: a text that changes whenever a volume (not a snapshot) may have been written: the kernel's counts of writes and discards of
# its device hold for this boot and this device instance, the rest is on the disks.
sub state_of {
  my ($self, $name, $properties) = @_;
  my $rdev  = (stat $self->open_volume($name, 'again'))[6];
  my $major = ($rdev >> 8 & 0xFFF) | ($rdev >> 32 & ~0xFFF);    # as the C library's gnu_dev_major and gnu_dev_minor
  my $minor = ($rdev & 0xFF) | ($rdev >> 12 & 0xFFFF_FF00);
  my $disk  = "/sys/dev/block/$major:$minor";
  my $boot  = read_line('/proc/sys/kernel/random/boot_id');
  my $seq   = -e "$disk/diskseq" ? read_line("$disk/diskseq") : 0;
  my @counts = split ' ', read_line("$disk/stat");
  return join ',', $boot, $seq, @counts[4, 6], ($counts[11] // 0), @{$properties}{+STATE};
}

sub read_line {
  my ($path) = @_;
  open(my $fh, '<', $path) or die "$path: $!\n";
  my $line = <$fh>;
  chomp $line;
  $line =~ s/^\s+//;
  return $line;
}

package Pvereconcile::Stream;

# The records of a `zfs send` stream of a volume (dmu_replay_record, OpenZFS include/sys/zfs_ioctl.h), in the byte order of
# every machine PVE runs on. Their fletcher checksums are not computed again: ZFS has just verified the blocks, the stream does
# not leave the machine, and the comparison afterwards reads both volumes without this code.

use constant {
  RECORD         => 312,
  MAGIC          => 2 << 32 | 0xF5BA_CBAC,
  SUBSTREAM      => 1,
  ZVOL           => 3,               # DMU_OST_ZVOL
  DATA_OBJECT    => 1,               # of a volume; the others hold its size and properties
  TO_END         => ~0,
  READ_BYTES     => 1 << 20,
  FEW_BYTES      => 256 << 10,
  MANY_BYTES     => 768 << 10,
  SHORT_REST     => 0.001,
  LONG_REST      => 0.016,
  MOST           => 16 << 20,        # the largest block ZFS knows
  HARMLESS       => 1 << 2 | 1 << 19 | 1 << 23 | 1 << 29,    # spill flags, large blocks, large dnodes, large micro ZAPs
};
use constant {BEGIN_ => 0, OBJECT => 1, FREEOBJECTS => 2, WRITE => 3, FREE => 4, END_ => 5, SPILL => 7};

# read_all: "fh" to read from, "ahead" what was already read of it, "to" and "from" the guids it must carry (from 0: a full
# stream), "idle" called when a signal arrives while nothing comes, "write"(offset, length, \bytes, position), "free"(offset, length or TO_END). Returns after the end record.
sub read_all {
  my (%o) = @_;
  my ($in, $at) = ($o{ahead}, 0);
  my $rest = SHORT_REST;
  my ($to, $write) = @o{qw(to write)};
  my $need = sub {
    my ($bytes) = @_;
    return if length($in) - $at >= $bytes;
    if ($at) { substr($in, 0, $at, ''); $at = 0 }
    while (length($in) < $bytes) {
      my $got = sysread($o{fh}, $in, READ_BYTES, length $in);
      if (!defined $got) {
        die "reading the stream: $!\n" if !$!{EINTR};
        $o{idle}->();
        next;
      }
      # ZFS writes each block by itself: without a rest the two sides would wake each other up for every one of them. How long
      # it may be before the pipe is full depends on how fast the node is.
      if ($got < FEW_BYTES) {
        select(undef, undef, undef, $rest);
        if ($rest < LONG_REST) { $rest *= 2 }
      } elsif ($got > MANY_BYTES && $rest > SHORT_REST) { $rest /= 2 }
      die "the stream ended in the middle\n" if !$got;
    }
  };
  my $begun = 0;
  while (1) {
    $need->(RECORD) if length($in) - $at < RECORD;
    my $record = substr $in, $at, RECORD;
    $at += RECORD;
    my ($type, $object, $offset, $length, $guid, $compression) = unpack 'L< x4 Q< x8 Q< Q< Q< x2 C', $record;
    my $payload = 0;
    if ($type == WRITE) {
      die "damaged stream: a block of $length bytes at $offset\n"
        if !$begun || $guid != $to || !$length || $length > MOST || $length % 512 || $offset % $length;
      die "the stream is compressed\n" if $compression;
      $need->($length) if length($in) - $at < $length;
      if ($object == DATA_OBJECT) { $write->($offset, $length, \$in, $at) }
      $at += $length;
    } elsif ($type == FREE) {
      ($object, $offset, $length, $guid) = unpack 'x8 Q< Q< Q< Q<', $record;
      die "damaged stream: a hole at $offset\n" if !$begun || $guid != $to || $offset % 512;
      if ($object == DATA_OBJECT) { $o{free}->($offset, $length) }
    } elsif ($type == OBJECT) {
      (my $bonus, my $raw_bonus, $guid) = unpack 'x28 L< x4 L< Q<', $record;
      die "damaged stream: an object\n" if !$begun || $guid != $to || $bonus > MOST;
      die "the stream is raw\n" if $raw_bonus;
      $payload = ($bonus + 7) & ~7;
    } elsif ($type == SPILL) {
      ($object, $length, $guid, my $compressed) = unpack 'x8 Q< Q< Q< x8 Q<', $record;
      die "damaged stream: a spill block\n"
        if !$begun || $guid != $to || $object == DATA_OBJECT || $length > MOST || $compressed;
      $payload = $length;
    } elsif ($type == FREEOBJECTS) {
      die "damaged stream: freed objects\n" if !$begun;
    } elsif ($type == BEGIN_) {
      ($length, my ($magic, $version, $kind), $guid, my $from) = unpack 'x4 L< Q< Q< x8 L< x4 Q< Q<', $record;
      die "this is no stream of zfs send\n" if $begun || $magic != MAGIC || ($version & 3) != SUBSTREAM;
      die "the stream is not one of a volume\n" if $kind != ZVOL;
      my $features = $version >> 2 & ~(HARMLESS);
      die sprintf("the stream has features this program does not read (0x%x)\n", $features) if $features;
      die "the stream is of another snapshot or volume\n" if $guid != $to || $from != $o{from};
      $begun   = 1;
      $payload = $length;
    } elsif ($type == END_) {
      die "damaged stream: its end\n" if !$begun || unpack('x40 Q<', $record) != $to;
      my $more;
      while (!defined($more = sysread $o{fh}, $in, 1, length $in)) { die "reading the stream: $!\n" if !$!{EINTR} }
      die "damaged stream: more behind its end\n" if length($in) > $at;
      return;
    } else {
      die "damaged stream: a record of type $type\n";
    }
    if ($payload) { $need->($payload); $at += $payload }
  }
}

package Pvereconcile::Buffer;

# Memory for O_DIRECT: `at` is the first aligned byte of it. Perl may not move it while it keeps its length.

use constant ALIGNMENT => 4096;

sub new {
  my ($class, $size) = @_;
  my $memory = '';
  vec($memory, $size + ALIGNMENT - 1, 8) = 0;    # the operator x would keep a second one of this size
  my $self   = bless {memory => \$memory}, $class;
  $self->{at} = -$self->address & (ALIGNMENT - 1);
  return $self;
}

sub address { my ($self) = @_; return unpack 'J', pack 'P', ${$self->{memory}} }

sub write_to {
  my ($self, $fh, $offset, $position, $length) = @_;
  die "a buffer was moved\n" if ($self->address + $self->{at}) & (ALIGNMENT - 1);
  sysseek($fh, $offset, 0) // die "seek: $!\n";
  while ($length) {
    my $got = syswrite($fh, ${$self->{memory}}, $length, $self->{at} + $position);
    if (!defined $got) { next if $!{EINTR}; die "writing the target at $offset: $!\n" }
    ($offset, $position, $length) = ($offset + $got, $position + $got, $length - $got);
  }
  return;
}

# Fills the beginning of the buffer.
sub read_from {
  my ($self, $fh, $offset, $length) = @_;
  die "a buffer was moved\n" if ($self->address + $self->{at}) & (ALIGNMENT - 1);
  sysseek($fh, $offset, 0) // die "seek: $!\n";
  my $had = 0;
  while ($had < $length) {
    my $got = sysread($fh, ${$self->{memory}}, $length - $had, $self->{at} + $had);
    if (!defined $got) { next if $!{EINTR}; die "reading at " . ($offset + $had) . ": $!\n" }
    die "reading at " . ($offset + $had) . ": the device ends there\n" if !$got;
    $had += $got;
  }
  return;
}

package Pvereconcile::Writer;

# Puts blocks, in ascending order, into the target: joins them to blocks of the target's size, leaves zeroes out, writes, and
# has each batch verified by a child process while the next one is read. A batch is what fits into the buffer, wherever it goes, or
# what came in some seconds: syncing a pool costs the same for little as for much. A child sees the buffer as it was when it was
# started (fork), so that nothing needs a checksum or a second copy.

use constant {BATCH => 128 << 20, BATCH_SECONDS => 10, CHUNK => 4 << 20};

# node, name, fh (to write), again (to verify), size, block; "old": the target may hold data: blocks that are to be zero are
# discarded, blocks written in part are completed from it; "gaps": what the stream does not mention is to be zero (not so in an
# incremental stream); "start": below is copied and verified.
sub new {
  my ($class, %o) = @_;
  my $self = bless {%o}, $class;
  $self->{batch}  //= BATCH;
  $self->{chunk}  //= CHUNK;
  if ($self->{chunk} < $o{block}) { $self->{chunk} = $o{block} }
  die "a batch holds whole blocks\n" if $self->{batch} % $self->{chunk};
  $self->{buffer}  = Pvereconcile::Buffer->new($self->{batch});
  $self->{reread}  = Pvereconcile::Buffer->new($self->{chunk});
  $self->{zeroes}  = "\0" x $o{block};
  $self->{filled}  = 0;             # bytes of the buffer that ended runs take
  $self->{since}   = time;          # when this batch began
  $self->{written} = [];            # [from, to, where in the memory) of the batch that was written or is zero
  $self->{run}     = undef;         # neighbouring blocks that are being collected: from, to, flushed
                                    # with a run: memory position minus offset ("shift"), where the buffer ends ("full")
  $self->{settled} = $o{start};     # whole blocks below are as they should be
  return $self;
}

sub round_down { my ($self, $offset) = @_; return $offset - $offset % $self->{block} }
sub round_up { my ($self, $offset) = @_; return $self->round_down($offset + $self->{block} - 1) }

# `bytes` undefined: zeroes.
sub put {
  my ($self, $offset, $length, $bytes, $position) = @_;
  my $end = $offset + $length;
  my $run = $self->{run};
  if ($run && $bytes && $offset == $run->{to} && $end <= $self->{full}) {    # most often it just goes on
    substr ${$self->{buffer}{memory}}, $self->{shift} + $offset, $length, substr ${$bytes}, $position, $length;
    $run->{to} = $end;
    $self->advance if $end == $self->{full} || $end - $run->{flushed} >= $self->{chunk};
    return;
  }
  if ($offset < $self->{start}) {
    # The mark lies between blocks, and all are powers of two: none lies on both sides.
    die "a block at $offset goes beyond $self->{start}, where the copy goes on\n" if $end > $self->{start};
    return;
  }
  while ($offset < $end) {
    $self->open_run($offset);
    my $until = $end < $self->{full} ? $end : $self->{full};
    my $part  = $until - $offset;
    substr ${$self->{buffer}{memory}}, $self->{shift} + $offset, $part,
      $bytes ? substr(${$bytes}, $position, $part) : "\0" x $part;
    if ($bytes) { $position += $part }
    $self->{run}{to} = $offset = $until;
    $self->advance;
  }
  return;
}

# Writes what is complete of the run, and ends the batch when it is time.
sub advance {
  my ($self) = @_;
  my $run   = $self->{run};
  my $whole = $self->round_down($run->{to});
  if ($whole == $self->{full} || ($whole == $run->{to} && $self->is_due)) { return $self->finish_batch($whole) }
  if ($whole - $run->{flushed} >= $self->{chunk}) { $self->flush($whole) }
  return;
}

sub is_due { my ($self) = @_; return time - $self->{since} >= BATCH_SECONDS }

# Whole blocks of [offset, end) are given back at once, the rest becomes zeroes in their blocks.
sub free {
  my ($self, $offset, $end) = @_;
  if ($offset < $self->{start}) { $offset = $self->{start} }
  return if $offset >= $end;
  my ($first, $last) = ($self->round_up($offset), $self->round_down($end));
  if ($first >= $last) { return $self->put($offset, $end - $offset) }
  if ($offset < $first) { $self->put($offset, $first - $offset) }
  $self->node->discard($self->{fh}, $first, $last);
  if ($last < $end) { $self->put($last, $end - $last) }
  return;
}

sub node { my ($self) = @_; return $self->{node} }

sub open_run {
  my ($self, $offset) = @_;
  my $run  = $self->{run};
  my $head = $self->round_down($offset);
  if ($run && $head <= $self->round_up($run->{to}) && $head < $self->{full}) {
    $self->fill($run->{to}, $offset);
    return;
  }
  $self->close_run;
  if ($self->{filled} == $self->{batch} || ($self->{filled} && $self->is_due)) { $self->finish_batch($head) }
  $self->settle($head);
  $self->{run}   = {from => $head, to => $head, flushed => $head};
  $self->{shift} = $self->{buffer}{at} + $self->{filled} - $head;
  $self->{full}  = $head + $self->{batch} - $self->{filled};
  $self->fill($head, $offset);
  return;
}

sub close_run {
  my ($self) = @_;
  my $run = $self->{run} or return;
  my $end = $self->round_up($run->{to});
  $self->fill($run->{to}, $end);
  $run->{to} = $end;
  $self->flush($end);
  $self->{filled} += $end - $run->{from};
  $self->{run} = undef;
  return;
}

# What lies between two runs is a hole.
sub settle {
  my ($self, $until) = @_;
  return if $until <= $self->{settled};
  if ($self->{old} && $self->{gaps}) { $self->node->discard($self->{fh}, $self->{settled}, $until) }
  $self->{settled} = $until;
  return;
}

# The rest of a block that a record covers in part: what the target holds, or zeroes.
sub fill {
  my ($self, $from, $to) = @_;
  return if $from >= $to;
  my $rest = "\0" x ($to - $from);
  if ($self->{old} && !$self->{gaps}) {
    $rest = '';
    for (my $block = $self->round_down($from); $block < $to; $block += $self->{block}) {
      $self->{reread}->read_from($self->{fh}, $block, $self->{block});
      my $first = $from > $block ? $from - $block : 0;
      my $last  = $to < $block + $self->{block} ? $to - $block : $self->{block};
      $rest .= substr(${$self->{reread}{memory}}, $self->{reread}{at} + $first, $last - $first);
    }
  }
  substr ${$self->{buffer}{memory}}, $self->{shift} + $from, $to - $from, $rest;
  return;
}

# Writes the run up to `end` (whole blocks): neighbours in one go, blocks of zeroes not at all.
sub flush {
  my ($self, $end) = @_;
  my $run    = $self->{run};
  my $block  = $self->{block};
  my $memory = $self->{buffer}{memory};
  my $shift  = $self->{shift};
  my $from   = $run->{flushed};
  while ($from < $end) {
    my $zero = is_zero($memory, $from + $shift, $block, \$self->{zeroes});
    my $to   = $from + $block;
    while ($to < $end && $zero == is_zero($memory, $to + $shift, $block, \$self->{zeroes})) { $to += $block }
    if (!$zero) {
      $self->{buffer}->write_to($self->{fh}, $from, $from + $shift - $self->{buffer}{at}, $to - $from);
    } elsif ($self->{old}) {
      $self->node->discard($self->{fh}, $from, $to);
    }
    if (!$zero || $self->{old}) { push @{$self->{written}}, [$from, $to, $from + $shift] }
    $from = $to;
  }
  $run->{flushed} = $self->{settled} = $end;
  return;
}

sub is_zero {
  my ($memory, $at, $length, $zeroes) = @_;
  return !ord(substr ${$memory}, $at, 1) && substr(${$memory}, $at, $length) eq ${$zeroes} ? 1 : 0;
}

# Ends the batch: a child makes sure that it is on the disks, then notes that in the target. `at`: below is all there is. The
# last one is noted by who asked for the copy, when the stream has proved to be complete.
sub finish_batch {
  my ($self, $at, $is_last) = @_;
  $self->close_run;
  $self->await_verifier;
  $self->{since} = time;
  return if !$self->{filled};
  $self->settle($at);    # holes, too, must be as noted
  if ($at > $self->{size} - $self->{block}) { $at = $self->{size} - $self->{block} }    # the whole size says: complete
  my $pid = fork // die "fork: $!\n";
  if (!$pid) {
    my $good = eval { $self->verify($is_last ? undef : $at); 1 };
    if (!$good) { print STDERR "zvol_copy: $@" }
    POSIX::_exit($good ? 0 : 1);
  }
  $self->{verifier} = $pid;
  $self->{filled}   = 0;
  $self->{written}  = [];
  return;
}

sub await_verifier {
  my ($self) = @_;
  my $pid = delete $self->{verifier} // return;
  while (waitpid($pid, 0) < 0) { die "waitpid: $!\n" if !$!{EINTR} }
  die "what was written to $self->{name} could not be verified\n" if $?;
  return;
}

# In the child. `at` undefined: nothing to note.
sub verify {
  my ($self, $at) = @_;
  my $parent = getppid;
  $SIG{$_} = 'IGNORE' for qw(INT TERM HUP);    # the parent decides
  if ($self->{stream}) { close $self->{stream} }
  $self->node->sync_pools($self->{name});
  for my $range (@{$self->{written}}) {
    my ($from, $to, $position) = @{$range};
    while ($from < $to) {
      die "the copy was killed\n" if getppid != $parent;
      my $length = $to - $from < $self->{chunk} ? $to - $from : $self->{chunk};
      $self->{reread}->read_from($self->{again}, $from, $length);
      die "$self->{name} does not hold what was written at $from\n"
        if substr(${$self->{reread}{memory}}, $self->{reread}{at}, $length) ne
        substr(${$self->{buffer}{memory}}, $position, $length);
      $from     += $length;
      $position += $length;
    }
  }
  $self->node->set_properties($self->{name}, 'pvereconcile:copied' => $at) if defined $at && $at > $self->{start};
  return;
}

# Stops early: what came so far, whole blocks of it, is verified and noted. Returns where.
sub stop {
  my ($self, $position) = @_;
  my $at = $self->round_down($position);
  if ($at < $self->{start}) { $at = $self->{start} }
  $self->finish_batch($at);
  $self->await_verifier;
  return $at;
}

sub finish {
  my ($self) = @_;
  $self->finish_batch($self->{size}, 1);
  $self->settle($self->{size});
  $self->await_verifier;
  return;
}

package Pvereconcile::ZvolCopy;

use IO::Handle ();
use POSIX ();

use constant {COPY => 'pvereconcile:copy', COPIED => 'pvereconcile:copied'};
use constant WINDOW => 128 << 10;    # what compare takes for one hole or one piece of data

use constant KEEP_ALIVE => 5;         # seconds between two lines at most: who listens sees that the program is alive, and
                                     # when nobody does, writing ends it

my $stopped = '';

sub say_line { my ($line) = @_; print STDOUT "$line\n"; return }

# "pool/…/volume" or "pool/…/volume@snapshot", as ZFS allows them; returned untainted.
sub checked_name {
  my ($name, $may_be_snapshot) = @_;
  my $part = qr/[A-Za-z0-9][A-Za-z0-9_.: -]*/;
  my ($good) = $name =~ m{\A($part(?:/$part)+(?:@[A-Za-z0-9_.:-]+)?)\z} or die "not a name of a volume: \"$name\"\n";
  die "a name that is too long: \"$name\"\n" if length $good > 255;
  die "a snapshot, where a volume is wanted: \"$name\"\n" if !$may_be_snapshot && $good =~ /@/;
  return $good;
}

sub checked_number {
  my ($text, $what) = @_;
  my ($good) = $text =~ /\A([1-9][0-9]{0,14})\z/ or die "not a number for $what: \"$text\"\n";
  return $good;
}

sub dataset_of { my ($name) = @_; return $name =~ s/@.*//sr }

# Volumes and snapshots, in the order of their names.
sub describe {
  my ($node, @names) = @_;
  my $found = $node->properties(\@names, qw(type guid volblocksize), Pvereconcile::Node::STATE, COPY, COPIED);
  return map { described($_, $found->{$_}) } @names;
}

sub described {
  my ($name, $properties) = @_;
  my $type       = $name =~ /@/ ? 'snapshot' : 'volume';
  die "$name is a $properties->{type}, not a $type\n" if $properties->{type} ne $type;
  for (qw(guid createtxg volsize)) { die "$name: $_ is \"$properties->{$_}\"\n" if $properties->{$_} !~ /\A[0-9]+\z/ }
  return {
    name => $name, guid => $properties->{guid}, createtxg => $properties->{createtxg}, size => $properties->{volsize},
    block => $properties->{volblocksize}, properties => $properties, mark => copy_mark($name, @{$properties}{COPY, COPIED}),
  };
}

# What a target says about a copy into it: {to, from, size, state, copied}; undefined: it was never one's target.
sub copy_mark {
  my ($name, $copy, $at) = @_;
  return undef if $copy eq '-';
  my ($to, $from, $size, $state) = $copy =~ /\Ato=([0-9]+) from=([0-9]+) size=([0-9]+) state=(\S+)\z/
    or die "$name: cannot read its mark " . COPY . "=$copy\n";
  my ($copied) = $at =~ /\A([0-9]+)\z/ or die "$name: cannot read its mark " . COPIED . "=$at\n";
  return {to => $to, from => $from, size => $size, state => $state, copied => $copied};
}

# A target without a mark must be one that was never written: better than finding out that the two names were swapped.
sub require_blank {
  my ($node, $target) = @_;
  my $send    = $node->open_send($target->{name});
  my $blank   = 1;
  my $looking = eval {
    Pvereconcile::Stream::read_all(
      fh => $send->{fh}, ahead => $send->{ahead}, to => $target->{guid}, from => 0, idle => sub { },
      write => sub { $blank = 0; die "enough\n" }, free => sub { },
    );
    1;
  };
  my $problem = $@;
  $node->close_send($send, $blank);
  die "$target->{name} already holds data, and no mark of a copy\n" if !$blank;
  die $problem if !$looking;
  return;
}

# Where to begin: (offset, may the target hold anything, is the rest to be zero).
sub begin_copy {
  my ($node, $source, $since, $target, $identity) = @_;
  my $mark = $target->{mark};
  my $from = $since ? $since->{guid} : 0;
  my $done = $mark && $mark->{copied} == $mark->{size};
  my $ours = $mark && $mark->{to} == $source->{guid} && $mark->{from} == $from;
  my ($start, $old) = (0, 1);
  if ($ours && "to=$mark->{to} from=$mark->{from} size=$mark->{size} state=$mark->{state}" eq $identity) {
    return ($mark->{copied}, 1, !$since);
  } elsif ($ours) {
    # The same volume, written (or its node restarted) since: every block is looked at again.
  } elsif ($since && $mark && $mark->{from} == $since->{guid}) {
    # A part, or all, of what came since the same snapshot, up to another point: what has changed since is written again. (A
    # source rolled back in between would differ; the comparison of the whole tells.)
  } elsif ($since) {
    die "$target->{name} does not hold $since->{name}\n" if !$done || $mark->{to} != $since->{guid};
  } elsif ($mark) {
    die "$target->{name} holds a copy of something else (guid $mark->{to})\n";
  } else {
    require_blank($node, $target);
    $old = 0;
  }
  $node->set_properties($target->{name}, COPY, $identity, COPIED, 0);
  return (0, $old, !$since);
}

sub copy {
  my ($node, %o) = @_;
  my @names  = (checked_name($o{source}, 1), checked_name($o{target}, 0));
  my $volume = dataset_of($names[0]);
  die "source and target are the same volume\n" if $volume eq $names[1];
  if (defined $o{since}) { push @names, checked_name($o{since} =~ m{/} ? $o{since} : "$volume\@$o{since}", 1) }
  # What was written to a volume is in memory first, and `zfs send` reads from the disks: the data of the source, and whether
  # the target holds any.
  $node->sync_pools(@names[0, 1]);
  my ($source, $target, $since) = describe($node, @names);
  die "$target->{name} is smaller than $source->{name}\n" if $target->{size} < $source->{size};
  if ($since) {
    die "$since->{name} is not an older snapshot of $volume\n"
      if dataset_of($since->{name}) ne $volume || $since->{name} !~ /@/
      || ($source->{name} =~ /@/ && $since->{createtxg} >= $source->{createtxg});
  }

  my $is_snapshot = $source->{name} =~ /@/;
  my $state    = $is_snapshot ? 'snapshot' : $node->state_of($source->{name}, $source->{properties});
  my $identity = "to=$source->{guid} from=" . ($since ? $since->{guid} : 0) . " size=$source->{size} state=$state";
  my ($start, $old, $gaps) = begin_copy($node, $source, $since, $target, $identity);
  if ($start == $source->{size}) {    # done, by an earlier run
    say_line("total $start");
    say_line("done $start");
    say_line('end');
    return;
  }
  my $total = $node->estimate($source->{name}, $since && $since->{name}, $source->{properties}{logicalreferenced});
  my $fh    = $node->open_volume($target->{name}, 'copy');
  die "the device of $target->{name} has another size than the volume\n" if $node->device_size($fh) != $target->{size};
  my $send   = $node->open_send($source->{name}, $since && $since->{name});
  my $writer = Pvereconcile::Writer->new(
    node => $node, name => $target->{name}, fh => $fh, again => $node->open_volume($target->{name}, 'again'),
    stream => $send->{fh}, size => $target->{size}, start => $start, old => $old, gaps => $gaps, batch => $o{batch}, chunk => $o{chunk},
    block => $target->{block},
  );

  my ($done, $position, $clock, $last) = (0, 0, clock(), time);
  my $report = sub { say_line('done ' . ($done < $total ? $done : $total)) };
  my ($limited, $limit_from) = (0, $clock);
  say_line("total $total");
  my $stop = sub { die sprintf "stopped by SIG%s, %d bytes are copied\n", $stopped, $writer->stop($_[0]) };
  my $complete = eval {
    Pvereconcile::Stream::read_all(
      fh => $send->{fh}, ahead => $send->{ahead}, to => $source->{guid}, from => $since ? $since->{guid} : 0,
      idle => sub { $report->(); $stop->($position) if $stopped },
      write => sub {
        my ($offset, $length, $bytes, $at) = @_;
        die "damaged stream: $offset comes behind $position\n" if $offset < $position;
        die "damaged stream: a block behind the end of the volume\n" if $offset + $length > $source->{size};
        $stop->($offset) if $stopped;
        $writer->put($offset, $length, $bytes, $at);
        ($position, $done) = ($offset + $length, $done + $length);
        if ($o{limit}) {
          $limited += $length;
          pause($limit_from + $limited / $o{limit}, $report) if $limited >= $o{limit} / 8;
          if (clock() - $limit_from > 10) { ($limited, $limit_from) = (0, clock()) }    # no credit for a slow hour
        }
        if (time != $last) { $last = time; $report->() }
      },
      free => sub {
        my ($offset, $length) = @_;
        return if $gaps;    # a full copy: what is not written is a hole
        my $end = $length == Pvereconcile::Stream::TO_END ? $target->{size} : $offset + $length;
        if ($end > $target->{size}) { $end = $target->{size} }
        if ($length == Pvereconcile::Stream::TO_END) {
          # ZFS tells the end of the data first, before what comes in order.
          die "damaged stream: the end of the data among the data\n" if $position;
          free_now($writer, $offset, $end);
          return;
        }
        die "damaged stream: $offset comes behind $position\n" if $offset < $position;
        $writer->free($offset, $end);
        if ($end > $position) { $position = $end }
      },
    );
    1;
  };
  my $problem = $@;
  if (!$complete) {
    eval { $node->close_send($send, $problem =~ /^the stream ended/); 1 } or $problem = $@;
    eval { $writer->await_verifier };    # it holds the target open
    die $problem;
  }
  $node->close_send($send, 1);
  $writer->finish;
  if (!$is_snapshot) {
    my $now = $node->properties([$source->{name}], Pvereconcile::Node::STATE)->{$source->{name}};
    die "$source->{name} was written while it was copied\n" if $node->state_of($source->{name}, $now) ne $state;
  }
  $node->set_properties($target->{name}, COPIED, $source->{size});
  $done = $total;
  $report->();
  say_line('end');
  return;
}

# Ahead of the order: only where nothing has been put yet.
sub free_now {
  my ($writer, $offset, $end) = @_;
  return if $offset >= $end;
  my $first = $writer->round_up($offset);
  if ($offset < $first) {
    $writer->free($offset, $first);
    $writer->finish_batch($writer->{start});
  }
  if ($first < $end) { $writer->free($first, $end) }
  return;
}

# Seconds, monotonic. Time::HiRes is not in perl-base.
sub clock { return (POSIX::times())[0] / POSIX::sysconf(POSIX::_SC_CLK_TCK()) }

sub pause {
  my ($until, $report) = @_;
  while (!$stopped && (my $left = $until - clock()) > 0) {
    select(undef, undef, undef, $left > 1 ? 1 : $left);
    if ($left > 1) { $report->() }
  }
  return;
}

# --- comparing

# The SHA-256 of a volume's contents, the same for every volblocksize and size: each window that is not all zeroes, with its
# number in front.
sub checksum {
  my ($node, $volume, $progress) = @_;
  my ($sum, $to_sum) = open_sha256();
  my $zeroes = "\0" x WINDOW;
  my $add    = sub {
    my ($number, $bytes) = @_;
    return if $bytes eq $zeroes;
    my $piece = pack('Q<', $number) . $bytes;
    for (my $at = 0; $at < length $piece;) {    # not print, which would write it in pieces of 8 KiB
      my $got = syswrite $to_sum, $piece, length($piece) - $at, $at;
      if (!defined $got) { next if $!{EINTR}; die "sha256sum: $!\n" }
      $at += $got;
    }
  };
  if ($volume->{name} =~ /@/) { checksum_stream($node, $volume, $add, $progress) }
  else { checksum_device($node, $volume, $add, $progress) }
  close $to_sum or die "sha256sum: $!\n";
  my ($hex) = (readline($sum) // '') =~ /\A([0-9a-f]{64}) / or die "sha256sum gave no sum\n";
  close $sum;
  return $hex;
}

sub open_sha256 {
  pipe(my $in,  my $to_sum) or die "pipe: $!\n";
  pipe(my $sum, my $out)    or die "pipe: $!\n";
  my $pid = fork // die "fork: $!\n";
  if (!$pid) {
    open(STDIN,  '<&', $in);
    open(STDOUT, '>&', $out);
    exec {'sha256sum'} 'sha256sum', '-b' or POSIX::_exit(127);
  }
  binmode $to_sum;
  fcntl $to_sum, Pvereconcile::Node::F_SETPIPE_SZ, Pvereconcile::Node::PIPE_BYTES;
  return ($sum, $to_sum);
}

sub checksum_device {
  my ($node, $volume, $add, $progress) = @_;
  my $fh     = $node->open_volume($volume->{name}, 'look');
  my $size   = $node->device_size($fh);
  my $step   = 4 << 20;
  my $buffer = Pvereconcile::Buffer->new($step);
  for (my $offset = 0; $offset < $size; $offset += $step) {
    my $length = $size - $offset < $step ? $size - $offset : $step;
    $buffer->read_from($fh, $offset, $length);
    for (my $at = 0; $at < $length; $at += WINDOW) {
      my $part = substr ${$buffer->{memory}}, $buffer->{at} + $at, $length - $at < WINDOW ? $length - $at : WINDOW;
      if (length $part < WINDOW) { $part .= "\0" x (WINDOW - length $part) }
      $add->(($offset + $at) / WINDOW, $part);
    }
    $progress->($offset + $length);
  }
  return;
}

# A snapshot has no device (snapdev is hidden); its stream tells the same.
sub checksum_stream {
  my ($node, $volume, $add, $progress) = @_;
  my $send = $node->open_send($volume->{name});
  my ($number, $window) = (undef, '');
  my $position = 0;
  Pvereconcile::Stream::read_all(
    fh => $send->{fh}, ahead => $send->{ahead}, to => $volume->{guid}, from => 0, idle => sub { $progress->($position) }, free => sub { },
    write => sub {
      my ($offset, $length, $bytes, $at) = @_;
      die "damaged stream: $offset comes behind $position\n" if $offset < $position;
      $position = $offset + $length;
      while ($length) {
        my $this  = int($offset / WINDOW);
        my $space = ($this + 1) * WINDOW - $offset;
        my $part  = $length < $space ? $length : $space;
        if (!defined $number || $this != $number) {
          $add->($number, $window) if defined $number;
          ($number, $window) = ($this, "\0" x WINDOW);
        }
        substr($window, $offset % WINDOW, $part, substr ${$bytes}, $at, $part);
        ($offset, $length, $at) = ($offset + $part, $length - $part, $at + $part);
      }
      $progress->($position);
    },
  );
  $add->($number, $window) if defined $number;
  $node->close_send($send, 1);
  $progress->($volume->{size});
  return;
}

sub compare {
  my ($node, %o) = @_;
  my @sides = describe($node, map { checked_name($_, 1) } @o{qw(source target)});
  die "source and target are the same volume\n" if $sides[0]{name} eq $sides[1]{name};
  say_line('total ' . ($sides[0]{size} + $sides[1]{size}));
  my @children = map { start_side($node, $_) } @sides;
  my (@done, @sums);
  my ($last, $problem) = (0, '');
  while (my @open = grep { $children[$_]{fh} } 0, 1) {
    my $ready = '';
    vec($ready, fileno $children[$_]{fh}, 1) = 1 for @open;
    next if select($ready, undef, undef, KEEP_ALIVE) < 0;
    for my $side (grep { vec($ready, fileno $children[$_]{fh}, 1) } @open) {
      my $child = $children[$side];
      my $got   = sysread $child->{fh}, $child->{text}, 4096, length $child->{text};
      next if !defined $got && $!{EINTR};
      while ($child->{text} =~ s/\A(\w+) ([^\n]*)\n//) {
        if    ($1 eq 'done')   { $done[$side] = $2 }
        elsif ($1 eq 'sum')    { $sums[$side] = $2 }
        elsif ($1 eq 'reason') { $problem ||= $2 }
      }
      next if $got;
      close delete $child->{fh};
      waitpid $child->{pid}, 0;
      if (!defined $sums[$side]) {    # the other one need not go on
        $problem ||= "reading $sides[$side]{name} ended early";
        kill 'TERM', $children[1 - $side]{pid} if $children[1 - $side]{fh};
      }
    }
    if ($stopped) { kill 'TERM', map { $_->{pid} } grep { $_->{fh} } @children; die "stopped by SIG$stopped\n" }
    if (time != $last) { $last = time; say_line('done ' . (($done[0] // 0) + ($done[1] // 0))) }
  }
  die "$problem\n" if $problem;
  say_line('done ' . ($sides[0]{size} + $sides[1]{size}));
  say_line("source $sums[0]");
  say_line("target $sums[1]");
  say_line('end');
  return;
}

# Reads one side in a process of its own, which tells "done N", then "sum HEX" or "reason TEXT".
sub start_side {
  my ($node, $volume) = @_;
  my $pid = open(my $fh, '-|') // die "fork: $!\n";
  return {fh => $fh, pid => $pid, text => ''} if $pid;
  $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
  my $last = time;
  my $good = eval {
    my $hex = checksum($node, $volume, sub { if (time != $last) { $last = time; say_line("done $_[0]") } });
    say_line("sum $hex");
    1;
  };
  if (!$good) { say_line("reason $@") }
  POSIX::_exit($good ? 0 : 1);
}

sub main {
  my ($node, @arguments) = @_;
  my $command = shift @arguments // '';
  my %o;
  while (@arguments && $arguments[0] =~ /\A--/) {
    my $option = shift @arguments;
    my $value  = shift @arguments // die "$option needs a value\n";
    if    ($command eq 'copy' && $option eq '--since') { $o{since} = $value }
    elsif ($command eq 'copy' && $option eq '--limit') { $o{limit} = checked_number($value, $option) }
    else                                              { die "unknown option \"$option\"\n" }
  }
  die "usage: copy [--since SNAPSHOT] [--limit BYTES_PER_SECOND] SOURCE TARGET | compare SOURCE TARGET\n"
    if ($command ne 'copy' && $command ne 'compare') || @arguments != 2;
  @o{qw(source target)} = @arguments;
  if   ($command eq 'copy') { copy($node, %o) }
  else                      { compare($node, %o) }
  return;
}

# --- the program, unless a test has loaded it
if (!caller) {
  %ENV = (PATH => '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL => 'C');
  STDOUT->autoflush(1);
  $SIG{$_} = sub { $stopped = $_[0] } for qw(INT TERM HUP);
  $SIG{ALRM} = sub { alarm Pvereconcile::ZvolCopy::KEEP_ALIVE };
  alarm Pvereconcile::ZvolCopy::KEEP_ALIVE;
  if (!eval { main(Pvereconcile::Node->new, @ARGV); 1 }) {
    print STDERR "zvol_copy: $@";
    exit 1;
  }
  exit 0;
}
1;
