#!/usr/bin/perl
# The copy program without ZFS: streams from files, plain files as volumes. Usage: zvol_copy_test.pl PROGRAM [CASE]; without a
# case it lists them. streams/ holds what `zfs send` of OpenZFS 2.3.9 wrote; the other streams are made here.
use strict;
use warnings;

package FileNode;

# A node whose volumes are files: name => {guid, size, block, createtxg, file, stream}. Marks are kept in a file, as they are set by
# a child process, too.
use Fcntl qw(O_RDONLY O_RDWR);
our @ISA = ('Pvereconcile::Node');

sub new { my ($class, %o) = @_; return bless {state => 'idle', volumes => {}, %o}, $class }

sub properties {
  my ($self, $names, @wanted) = @_;
  return {map { $_ => $self->properties_of($_, @wanted) } @{$names}};
}

sub properties_of {
  my ($self, $name, @wanted) = @_;
  my $volume = $self->{volumes}{$name} or die "zfs get: cannot open '$name': dataset does not exist\n";
  my %found = (
    type => $name =~ /@/ ? 'snapshot' : 'volume', guid => $volume->{guid}, createtxg => $volume->{createtxg} // 1,
    volsize => $volume->{size}, volblocksize => $volume->{block} // '-', %{$self->marks($name)},
  );
  return {map { $_ => $found{$_} // '-' } @wanted};
}

sub marks {
  my ($self, $name) = @_;
  open(my $fh, '<', "$self->{folder}/marks") or return {};
  my %found;
  while (my $line = <$fh>) {
    chomp $line;
    my ($of, $key, $value) = split /\t/, $line;
    if ($of eq $name) { $found{$key} = $value }
  }
  return \%found;
}

sub set_properties {
  my ($self, $name, %values) = @_;
  open(my $fh, '>>', "$self->{folder}/marks") or die;
  print {$fh} "$name\t$_\t$values{$_}\n" for sort keys %values;
  close $fh or die;
  return;
}

sub sync_pools { return }
sub estimate  { my ($self, $name) = @_; return -s $self->{volumes}{$name}{stream} }
sub state_of  { my ($self) = @_; return $self->{state} }

sub open_send {
  my ($self, $name, $since) = @_;
  my $volume = $self->{volumes}{$name};
  my $path = $since ? $volume->{since}{$since} : $volume->{stream};
  open(my $fh, '<', $path // '/dev/null') or die "$path: $!\n";
  binmode $fh;
  return {fh => $fh, ahead => ''};
}
sub close_send { my ($self, $send) = @_; close $send->{fh}; return }

sub open_volume {
  my ($self, $name, $mode) = @_;
  sysopen(my $fh, $self->{volumes}{$name}{file}, $mode eq 'copy' ? O_RDWR : O_RDONLY) or die "$name: $!\n";
  binmode $fh;
  return $fh;
}
sub device_size { my ($self, $fh) = @_; return -s $fh }

sub discard {
  my ($self, $fh, $from, $to) = @_;
  my ($volume) = grep { $_->{file} && (stat $_->{file})[1] == (stat $fh)[1] } values %{$self->{volumes}};
  die "killed\n" if defined $self->{discards_left} && !$self->{discards_left}--;
  die "a discard that is not of whole blocks\n" if $from % $volume->{block} || $to % $volume->{block};
  system('fallocate', '-p', '-o', $from, '-l', $to - $from, $volume->{file}) == 0 or die "fallocate\n";
  return;
}

package main;

use File::Temp ();
use Test::More;

my ($program, $case) = @ARGV;
require $program;
my $folder = File::Temp::tempdir(CLEANUP => 1);
(my $streams = $0) =~ s{[^/]*\z}{streams};

# --- streams, as zfs writes them

sub record { my ($type, $body, $payload) = @_; return pack('L< L<', $type, 0) . $body . "\0" x (304 - length $body) . ($payload // '') }

sub begin {
  my ($to, $from, %o) = @_;
  return record(0, pack('Q< Q< Q< L< L< Q< Q<', $o{magic} // (2 << 32 | 0xF5BA_CBAC), 1 | ($o{features} // 0) << 2, 0, $o{kind} // 3, 0, $to, $from));
}
sub object { my ($to, $block) = @_; return record(1, pack('Q< L< L< L< L< C C C C L< Q<', 1, 23, 0, $block, 0, 0, 0, 1, 0, 0, $to)) }
sub data { my ($to, $at, $bytes, $object) = @_; return record(3, pack('Q< L< L< Q< Q< Q<', $object // 1, 23, 0, $at, length $bytes, $to), $bytes) }
sub hole { my ($to, $at, $length) = @_; return record(4, pack('Q< Q< Q< Q<', 1, $at, $length, $to)) }
sub end_of { my ($to) = @_; return record(5, pack('Q< Q< Q< Q< Q<', 0, 0, 0, 0, $to)) }

sub save { my ($name, $bytes) = @_; open(my $fh, '>:raw', "$folder/$name") or die; print {$fh} $bytes; close $fh or die; return "$folder/$name" }

sub blank {
  my ($name, $size) = @_;
  open(my $fh, '>', "$folder/$name") or die;
  truncate $fh, $size or die;
  close $fh;
  return "$folder/$name";
}

sub slurp { my ($path) = @_; open(my $fh, '<:raw', $path) or die; local $/ = undef; return scalar <$fh> }
sub allocated { my ($path) = @_; return 512 * (stat $path)[12] }

# What the volume holds against what it must hold, without printing megabytes.
sub same {
  my ($node, $name, $wanted, $what) = @_;
  my $held = slurp($node->{volumes}{$name}{file});
  my $rest = substr $held, length $wanted;
  ok(substr($held, 0, length $wanted) eq $wanted && $rest !~ /[^\0]/, $what);
  return;
}

sub node_with {
  my (%o) = @_;
  my $folder_of = File::Temp::tempdir(DIR => $folder);
  return FileNode->new(
    folder  => $folder_of,
    volumes => {
      'tank/a' => {guid => 11, size => $o{size}, stream => $o{stream}},
      'tank/b' => {guid => 22, size => $o{target_size} // $o{size}, block => $o{block},
        file => blank("b$folder_of" =~ tr{/}{_}r, $o{target_size} // $o{size}), stream => save('empty', begin(22, 0) . end_of(22))},
    },
  );
}

my @said;

sub run_copy {
  my ($node, %o) = @_;
  local *STDOUT;
  open(STDOUT, '>', "$folder/said") or die;
  STDOUT->autoflush(1);
  my $good   = eval { Pvereconcile::ZvolCopy::copy($node, source => 'tank/a', target => 'tank/b', %o); 1 };
  my $reason = $good ? '' : $@;
  @said = split /\n/, slurp("$folder/said");
  chomp $reason;
  return $reason;
}

my %small = (batch => 256 << 10, chunk => 64 << 10);
sub random { my ($bytes) = @_; return join '', map { pack 'L<', int rand 0xFFFF_FFFF } 1 .. $bytes / 4 }

# A volume of `count` blocks with random contents, and the stream of it; with an older one, the stream of the difference.
sub image {
  my ($block, $count, $older) = @_;
  my @blocks = $older ? @{$older} : map { "\0" x $block } 1 .. $count;
  my $stream = begin(11, $older ? 10 : 0) . object(11, $block);
  my $last   = $older ? int rand $count : $count;
  if ($older && rand() < 0.5) {    # the end was freed: told first
    $stream .= hole(11, $last * $block, ~0);
    $_ = "\0" x $block for @blocks[$last .. $count - 1];
  } else { $last = $count }
  for (my $n = 0; $n < $last;) {
    my $many = 1 + int rand 9;
    if ($n + $many > $last) { $many = $last - $n }
    my $kind = rand;
    if ($kind < 0.4) {             # untouched, or a hole
    } elsif ($kind < 0.6) {
      $stream .= hole(11, $n * $block, $many * $block);
      $_ = "\0" x $block for @blocks[$n .. $n + $many - 1];
    } else {
      for my $at ($n .. $n + $many - 1) {
        $blocks[$at] = rand() < 0.2 ? "\0" x $block : random($block);
        $stream .= data(11, $at * $block, $blocks[$at]);
      }
    }
    $n += $many;
  }
  return (\@blocks, $stream . data(11, 0, "\1" x 512, 2) . end_of(11));
}

my %cases = (

  recorded_full_stream => sub {
    my $wanted = recorded(first => [8 .. 10, 64, 127]);
    for my $block (4096, 16384, 65536) {
      my $node = node_with(size => 1 << 20, block => $block, stream => "$streams/full");
      $node->{volumes}{'tank/a'}{guid} = guid_in("$streams/full");
      is(run_copy($node, %small), '', "copied to blocks of $block");
      same($node, 'tank/b', $wanted, 'the same bytes');
      is($said[-1], 'end', 'it says so');
      is($node->marks('tank/b')->{'pvereconcile:copied'}, 1 << 20, 'noted as complete');
    }
  },

  recorded_incremental_stream => sub {
    for my $block (4096, 16384, 65536) {
      my $node   = node_with(size => 1 << 20, block => $block, stream => "$streams/full");
      my $source = $node->{volumes}{'tank/a'};
      $node->{volumes}{'tank/a@one'} = {guid => guid_in("$streams/full"), size => 1 << 20, stream => "$streams/full", createtxg => 5};
      $node->{volumes}{'tank/a@two'} = {guid => guid_in("$streams/incremental"), size => 1 << 20, createtxg => 6,
        stream => "$streams/incremental", since => {'tank/a@one' => "$streams/incremental"}};
      is(run_copy($node, %small, source => 'tank/a@one'), '', "the older snapshot to blocks of $block");
      is(run_copy($node, %small, source => 'tank/a@two', since => 'one'), '', 'what changed since');
      same($node, 'tank/b', recorded(first => [8, 64], second => [9, 30 .. 33]), 'the same bytes');
    }
  },

  random_volumes => sub {
    for my $seed (1 .. 24) {
      srand $seed;
      my $block  = 4096 << int rand 3;
      my $target = 4096 << int rand 6;
      my $count  = 64 + int rand 64;
      my ($blocks, $stream) = image($block, $count);
      my $size = $block * $count;
      my $node = node_with(size => $size, block => $target, stream => save('random', $stream),
        target_size => int(($size + $target - 1) / $target) * $target);
      is(run_copy($node, %small), '', "volume $seed: $block to $target");
      my $wanted = join '', @{$blocks};
      same($node, 'tank/b', $wanted, 'the same bytes');
      my $needed = grep { /[^\0]/ } unpack "(a$target)*", $wanted;
      cmp_ok(allocated($node->{volumes}{'tank/b'}{file}), '<=', $needed * $target, 'zeroes are not stored');
      # A newer state on top of it, and that once more, as after a kill.
      (my $newer, $stream) = image($block, $count, $blocks);
      @{$node->{volumes}}{'tank/a@one', 'tank/a@two'} = (
        {guid => 10, size => $size, createtxg => 5},
        {guid => 11, size => $size, createtxg => 6, since => {'tank/a@one' => save('newer', $stream)}, stream => "$folder/newer"},
      );
      $node->set_properties('tank/b', 'pvereconcile:copy', "to=10 from=0 size=$size state=snapshot", 'pvereconcile:copied', $size);
      is(run_copy($node, %small, source => 'tank/a@two', since => 'one'), '', 'what changed');
      same($node, 'tank/b', join('', @{$newer}), 'the same bytes');
      $node->set_properties('tank/b', 'pvereconcile:copied', 0);
      is(run_copy($node, %small, source => 'tank/a@two', since => 'one'), '', 'what changed, again');
      same($node, 'tank/b', join('', @{$newer}), 'still the same bytes');
    }
  },

  an_increment_up_to_another_point => sub {
    # The snapshot that was copied last is gone; a later one takes its place, since the same older one.
    for my $seed (1 .. 8) {
      srand $seed;
      my $size = 96 * 8192;
      my ($base, $full) = image(8192, 96);
      my $node = node_with(size => $size, block => 32768, stream => save('full', $full));
      my $add  = sub {
        my ($name, $guid, $bytes) = @_;
        $node->{volumes}{$name} = {guid => $guid, size => $size, createtxg => $guid, stream => "$folder/full",
          since => {'tank/a@one' => save("since$guid", $bytes)}};
      };
      $node->{volumes}{'tank/a@one'} = {guid => 11, size => $size, createtxg => 11, stream => "$folder/full"};
      is(run_copy($node, %small, source => 'tank/a@one'), '', 'the base');
      my @later = (undef, begin(12, 11), begin(13, 11));
      my @blocks = @{$base};
      for my $n (0 .. 47) { $blocks[$n * 2] = random(8192); $later[1] .= data(12, $n * 2 * 8192, $blocks[$n * 2]) }
      $add->('tank/a@two', 12, substr $later[1], 0, int rand length $later[1]);
      run_copy($node, %small, source => 'tank/a@two', since => 'one');
      for my $n (0 .. 47) { if ($n % 3 == 0) { $blocks[$n * 2] = random(8192) } $later[2] .= data(13, $n * 2 * 8192, $blocks[$n * 2]) }
      $add->('tank/a@three', 13, $later[2] . end_of(13));
      is(run_copy($node, %small, source => 'tank/a@three', since => 'one'), '', 'up to the later one');
      same($node, 'tank/b', join('', @blocks), 'the same bytes');
    }
  },

  resumes_behind_what_was_verified => sub {
    srand 7;
    my ($blocks, $stream) = image(8192, 160);
    my $node = node_with(size => 160 * 8192, block => 16384, stream => save('cut', substr $stream, 0, int(length($stream) * 0.7)));
    like(run_copy($node, %small), qr/the stream ended in the middle/, 'a stream that ends early is a failure');
    my $at = $node->marks('tank/b')->{'pvereconcile:copied'};
    cmp_ok($at, '>', 0, 'what was verified is noted');
    is($at % 16384, 0, 'in whole blocks');
    isnt($said[-1], 'end', 'it is no end');
    # What lies below is not touched again: a mark put there stays.
    my $file = $node->{volumes}{'tank/b'}{file};
    open(my $fh, '+<:raw', $file) or die;
    print {$fh} 'untouched';
    close $fh;
    $node->{volumes}{'tank/a'}{stream} = save('whole', $stream);
    is(run_copy($node, %small), '', 'the next run ends it');
    my $wanted = join '', @{$blocks};
    is(substr(slurp($file), 0, 9), 'untouched', 'nothing below the mark is written');
    ok(substr(slurp($file), $at) eq substr($wanted, $at), 'everything behind it is there');
    is(run_copy($node, %small), '', 'a third run');
    is_deeply(\@said, ['total ' . 160 * 8192, 'done ' . 160 * 8192, 'end'], 'has nothing to do');
  },

  a_source_written_in_between_is_copied_anew => sub {
    srand 8;
    my ($before, $stream) = image(8192, 160);
    my $node = node_with(size => 160 * 8192, block => 32768, stream => save('cut', substr $stream, 0, int(length($stream) * 0.8)));
    run_copy($node, %small);
    cmp_ok($node->marks('tank/b')->{'pvereconcile:copied'}, '>', 0, 'a part is there');
    (my $after, $stream) = image(8192, 160);
    $node->{state} = 'written';
    $node->{volumes}{'tank/a'}{stream} = save('whole', $stream);
    is(run_copy($node, %small), '', 'the next run ends it');
    same($node, 'tank/b', join('', @{$after}), 'as the source is now: old data where it has holes is gone');
  },

  interrupted_again_and_again => sub {
    # Cut off anywhere several times, with the source written in between or not: in the end the target is what the source is.
    for my $seed (1 .. 16) {
      srand $seed;
      my $block = 4096 << int rand 3;
      my $node  = node_with(size => 192 * $block, block => 4096 << int rand 5, stream => undef);
      my ($blocks, $stream) = image($block, 192);
      for my $round (1 .. 4) {
        if ($round > 1 && rand() < 0.6) {
          ($blocks, $stream) = image($block, 192);
          $node->{state} = "written$round";
        }
        $node->{volumes}{'tank/a'}{stream} = save('cut', substr $stream, 0, int rand length $stream);
        isnt(run_copy($node, %small), '', "volume $seed, round $round: not the whole stream");
      }
      $node->{volumes}{'tank/a'}{stream} = save('whole', $stream);
      is(run_copy($node, %small), '', "volume $seed: the whole stream");
      same($node, 'tank/b', join('', @{$blocks}), 'the same bytes');
    }
  },

  holes_count_for_the_mark_too => sub {
    # The target has old data everywhere, the source by now in two blocks only; killed at each discard in turn.
    my $size = 96 * 8192;
    for my $kill_at (0 .. 3) {
      my $old  = begin(11, 0) . join '', map { data(11, $_ * 8192, random(8192)) } 0 .. 95;
      my $node = node_with(size => $size, block => 8192, stream => save('cut', $old));
      isnt(run_copy($node, %small), '', 'the old data is there');
      my ($one, $two) = (random(8192), random(8192));
      $node->{volumes}{'tank/a'}{stream} = save('whole', begin(11, 0) . data(11, 0, $one) . data(11, 40 * 8192, $two) . end_of(11));
      $node->{state} = 'written';
      $node->{discards_left} = $kill_at;
      run_copy($node, %small);
      delete $node->{discards_left};
      is(run_copy($node, %small), '', "killed at discard $kill_at, then run to the end");
      same($node, 'tank/b', $one . "\0" x (39 * 8192) . $two . "\0" x (55 * 8192), 'the same bytes');
    }
  },

  a_source_written_meanwhile_is_noticed => sub {
    my ($blocks, $stream) = image(8192, 64);
    my $node = node_with(size => 64 * 8192, block => 8192, stream => save('whole', $stream));
    no warnings 'redefine';
    my $calls = 0;
    local *FileNode::state_of = sub { return 'state' . $calls++ };
    like(run_copy($node, %small), qr/tank\/a was written while it was copied/, 'refused');
    isnt($node->marks('tank/b')->{'pvereconcile:copied'}, 64 * 8192, 'not complete');
  },

  lost_writes_are_found => sub {
    # Each of the nine writes in turn, and one copy that loses none.
    my $stream = begin(11, 0) . join('', map { data(11, $_ * 8192, random(8192)) } 0 .. 63, 80) . end_of(11);
    for my $lost (0 .. 9) {
      my $node = node_with(size => 96 * 8192, block => 8192, stream => save('whole', $stream));
      no warnings 'redefine';
      my $write = \&Pvereconcile::Buffer::write_to;
      my $writes = 0;
      local *Pvereconcile::Buffer::write_to = sub { return if $writes++ == $lost; goto &{$write} };
      open(my $kept, '>&', \*STDERR) or die;
      open(STDERR, '>', "$folder/errors") or die;
      my $reason = run_copy($node, %small);
      open(STDERR, '>&', $kept) or die;
      if ($lost == 9) { is("$reason $writes", ' 9', 'all nine written'); next }
      like($reason, qr/what was written to tank\/b could not be verified/, "write $lost: refused");
      like(slurp("$folder/errors"), qr/tank\/b does not hold what was written at \d+/, 'with the place');
    }
  },

  damaged_streams => sub {
    my $block = random(4096);
    my @streams = (
      ['empty', '', qr/ended in the middle/],
      ['no stream', 'x' x 4000, qr/no stream of zfs send|a record of type/],
      ['no begin', data(11, 0, $block) . end_of(11), qr/damaged stream/],
      ['two begins', begin(11, 0) . begin(11, 0), qr/no stream of zfs send/],
      ['other byte order', begin(11, 0, magic => 0xACCB_BAF5 << 32 | 2 << 24), qr/no stream of zfs send/],
      ['a file system', begin(11, 0, kind => 2) . end_of(11), qr/not one of a volume/],
      ['compressed', begin(11, 0, features => 1 << 22), qr/features this program does not read \(0x400000\)/],
      ['embedded data', begin(11, 0, features => 1 << 16), qr/features/],
      ['raw', begin(11, 0, features => 1 << 24), qr/features/],
      ['another volume', begin(12, 0), qr/of another snapshot or volume/],
      ['incremental', begin(11, 9), qr/of another snapshot or volume/],
      ['a block of another volume', begin(11, 0) . data(12, 0, $block), qr/damaged stream: a block of 4096 bytes at 0/],
      ['not at a block', begin(11, 0) . data(11, 512, $block), qr/damaged stream: a block/],
      ['behind the end', begin(11, 0) . data(11, 65536, $block), qr/behind the end of the volume/],
      ['far too long', begin(11, 0) . record(3, pack('Q< L< L< Q< Q< Q<', 1, 23, 0, 0, 1 << 40, 11)), qr/damaged stream: a block/],
      ['backwards', begin(11, 0) . data(11, 8192, $block) . data(11, 4096, $block), qr/4096 comes behind 12288/],
      ['twice', begin(11, 0) . data(11, 8192, $block) . data(11, 8192, $block), qr/8192 comes behind 12288/],
      ['unknown record', begin(11, 0) . record(17, ''), qr/a record of type 17/],
      ['embedded', begin(11, 0) . record(8, ''), qr/a record of type 8/],
      ['cut in a header', substr(begin(11, 0) . data(11, 0, $block), 0, 400), qr/ended in the middle/],
      ['cut in data', substr(begin(11, 0) . data(11, 0, $block), 0, 2000), qr/ended in the middle/],
      ['no end', begin(11, 0) . data(11, 0, $block), qr/ended in the middle/],
      ['end of another', begin(11, 0) . end_of(12), qr/damaged stream: its end/],
      ['more behind the end', begin(11, 0) . end_of(11) . 'x', qr/more behind its end/],
    );
    for my $bad (@streams) {
      my ($name, $bytes, $reason) = @{$bad};
      my $node = node_with(size => 65536, block => 4096, stream => save('bad', $bytes));
      like(run_copy($node, %small), $reason, $name);
      isnt($node->marks('tank/b')->{'pvereconcile:copied'}, 65536, "$name: not complete");
      isnt($said[-1] // '', 'end', "$name: no end");
    }
  },

  every_flipped_header_byte_is_refused_or_harmless => sub {
    # Of the records that say what goes where; a flip is found, or is in a field that says nothing here.
    my $block  = random(4096);
    my $stream = begin(11, 0) . data(11, 8192, $block) . end_of(11);
    my $wanted = "\0" x 8192 . $block . "\0" x (65536 - 12288);
    my $found  = 0;
    for my $at (0 .. 63, 312 .. 312 + 119, 624 + 4096 .. 624 + 4096 + 63) {
      my $bad = $stream;
      substr($bad, $at, 1) = chr(ord(substr $bad, $at, 1) ^ 0x40);
      my $node = node_with(size => 65536, block => 4096, stream => save('flipped', $bad));
      my $reason = run_copy($node, %small);
      if ($reason) { $found++ }
      elsif (slurp($node->{volumes}{'tank/b'}{file}) ne $wanted) {
        my $in_record = $at - 312;
        # A block that goes to another place of the volume (its offset) or to another object: for the comparison to find.
        ok(($in_record >= 24 && $in_record < 32) || ($in_record >= 8 && $in_record < 16), "byte $at: $in_record");
      }
    }
    cmp_ok($found, '>=', 60, 'most of what means something is found here already');
  },

  refusals => sub {
    my ($blocks, $stream) = image(8192, 64);
    my $node = node_with(size => 64 * 8192, block => 8192, stream => save('whole', $stream));
    like(run_copy($node, source => 'tank/b'), qr/the same volume/, 'onto itself');
    like(run_copy($node, source => 'tank/c'), qr/does not exist/, 'no source');
    like(run_copy($node, source => $_), qr/not a name of a volume/, "name \"$_\"")
      for 'tank', '', '-o', 'tank/a b;c', "tank/a\n", 'tank//a', '/tank/a', 'tank/a@', 'tank/a@b@c', 'tank/$(a)', 'tank/../a', 'tank/.a';
    like(run_copy($node, target => 'tank/b@s'), qr/a snapshot, where a volume is wanted/, 'a snapshot as target');
    like(run_copy($node, source => 'tank/' . 'a' x 255), qr/too long/, 'a long name');
    $node->{volumes}{'tank/a@one'} = {guid => 10, size => 64 * 8192, createtxg => 5};
    like(run_copy($node, since => 'one'), qr/tank\/b does not hold tank\/a\@one/, 'no base');
    like(run_copy($node, since => 'tank/b'), qr/is not an older snapshot/, 'a base that is none');
    $node->{volumes}{'tank/b'}{stream} = save('used', begin(22, 0) . data(22, 0, random(8192)) . end_of(22));
    like(run_copy($node), qr/tank\/b already holds data, and no mark of a copy/, 'a target in use');
    $node->{volumes}{'tank/b'}{size} = 63 * 8192;
    like(run_copy($node), qr/tank\/b is smaller than tank\/a/, 'a small target');
  },

  arguments => sub {
    my $node = node_with(size => 65536, block => 4096, stream => save('whole', begin(11, 0) . end_of(11)));
    for my $bad ([], ['copy'], ['copy', 'tank/a'], ['copy', 'tank/a', 'tank/b', 'tank/c'], ['move', 'tank/a', 'tank/b'],
      ['copy', '--fast', 'yes', 'tank/a', 'tank/b'], ['compare', '--limit', '5', 'tank/a', 'tank/b'],
      ['copy', '--limit', '5M', 'tank/a', 'tank/b'], ['copy', '--limit', '0', 'tank/a', 'tank/b'], ['copy', '--limit'])
    {
      ok(!eval { Pvereconcile::ZvolCopy::main($node, @{$bad}); 1 }, "refused: @{$bad}");
      like($@, qr/usage|unknown option|needs a value|not a number/, 'with a reason');
    }
  },

  comparing => sub {
    srand 9;
    my ($blocks) = image(8192, 40);
    my $node = node_with(size => 40 * 8192, block => 4096, stream => undef);
    my $bytes = join '', @{$blocks};
    $node->{volumes}{'tank/a'}{file} = save('left', $bytes);
    my $sums = sub {
      my ($right) = @_;
      $node->{volumes}{'tank/b'}{file} = save('right', $right);
      $node->{volumes}{'tank/b'}{size} = length $right;
      open(my $kept, '>&', \*STDOUT) or die;
      open(STDOUT, '>', "$folder/said") or die;
      STDOUT->autoflush(1);
      my $good = eval { Pvereconcile::ZvolCopy::compare($node, source => 'tank/a', target => 'tank/b'); 1 };
      my $problem = $@;
      open(STDOUT, '>&', $kept) or die;
      die $problem if !$good;
      my %said = map { /^(source|target) ([0-9a-f]{64})$/ ? ($1 => $2) : () } split /\n/, slurp("$folder/said");
      return @said{qw(source target)};
    };
    my ($left, $right) = $sums->($bytes);
    is($left, $right, 'equal');
    is(($sums->($bytes . "\0" x 65536))[1], $left, 'zeroes behind the end do not count');
    isnt(($sums->($bytes . "\0" x 65535 . "\1"))[1], $left, 'anything else does');
    substr($bytes, 123_456, 1) = chr(ord(substr $bytes, 123_456, 1) ^ 1);
    isnt(($sums->($bytes))[1], $left, 'a single bit');
    # Two windows that change places.
    my $moved = substr($bytes, 131072, 131072) . substr($bytes, 0, 131072) . substr($bytes, 262144);
    isnt(($sums->($moved))[1], ($sums->($bytes))[1], 'where it lies counts');
    # A snapshot is read from its stream, a volume from its device: the same sum.
    my ($volume, $stream) = image(8192, 40);
    $node->{volumes}{'tank/a'}{file} = save('left', join '', @{$volume});
    $node->{volumes}{'tank/b'}{file} = save('right', join '', @{$volume});
    $node->{volumes}{'tank/a@s'} = {guid => 11, size => 40 * 8192, stream => save('snapshot', $stream)};
    is(Pvereconcile::ZvolCopy::checksum($node, Pvereconcile::ZvolCopy::describe($node, 'tank/a@s'), sub { }),
      Pvereconcile::ZvolCopy::checksum($node, Pvereconcile::ZvolCopy::describe($node, 'tank/a'), sub { }), 'stream and device');
  },

  the_limit_holds => sub {
    no warnings 'once';
    # By a clock of our own, which moves when the program rests.
    my $stream = begin(11, 0) . object(11, 65536) . join('', map { data(11, $_ * 65536, random(65536)) } 0 .. 31) . end_of(11);
    my $node = node_with(size => 32 * 65536, block => 65536, stream => save('whole', $stream));
    no warnings 'redefine';
    my $now = 100;
    local *Pvereconcile::ZvolCopy::clock = sub { return $now };
    local *Pvereconcile::ZvolCopy::pause = sub { my ($until) = @_; if ($until > $now) { $now = $until } return };
    is(run_copy($node, limit => 131072, %small), '', 'copied');
    cmp_ok($now - 100, '>=', 15, '2 MiB at 128 KiB a second take 16 seconds');
    cmp_ok($now - 100, '<=', 17, 'and not much more');
  },
);

# The volume of which the streams were recorded: 1 MiB at volblocksize 8k. Of its first snapshot, which has the blocks 8 to 10, 64
# and 127, `zfs send`; of its second, where 9 and 30 to 33 were written and 10 and 127 discarded, `zfs send -i` since the first.
sub recorded {
  my (%blocks) = @_;
  my @held = map { "\0" x 8192 } 1 .. 128;
  for my $text (keys %blocks) {
    for my $n (@{$blocks{$text}}) { $held[$n] = substr sprintf('%s block %d of 8 KiB. ', $text, $n) x 512, 0, 8192 }
  }
  return join '', @held;
}

sub guid_in { my ($path) = @_; return unpack 'x40 Q<', slurp($path) }

if (!defined $case) {
  print "$_\n" for sort keys %cases;
  exit 0;
}
$cases{$case} or die "no case \"$case\"\n";
$cases{$case}->();
done_testing();
