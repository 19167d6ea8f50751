"""providers/host/zvol_copy.pl against real OpenZFS: run by `scripts/lab test`.

Contents are always compared by dd and sha256sum on the devices, not only by the program's own comparison.
"""

import os
import subprocess
import sys
import time
import unittest

from guest import MIB, PROGRAM, Failed, Guest

GUEST = Guest(os.environ.get("PVERECONCILE_LAB", "default"))
EXTENT = 128 * MIB  # the volumes that are interrupted have some data at every multiple of it
EXTENTS = 4


def sums(lines):
    found = dict(lines)
    return found["source"], found["target"]


class Base(unittest.TestCase):
    def tearDown(self):
        for name in GUEST.run("zfs", "list", "-H", "-t", "volume", "-o", "name").split():
            if "/t_" in name:
                GUEST.destroy(name)

    def scatter(self, name, extents=EXTENTS, megabytes=8):
        """Data at the beginning of each extent, holes between."""
        for number in range(extents):
            GUEST.fill(name, number * EXTENT // MIB, megabytes)

    def assert_identical(self, source, target):
        size = GUEST.number(source, "volsize")
        self.assertEqual(GUEST.checksum(source), GUEST.checksum(target, size))
        rest = GUEST.number(target, "volsize") - size
        if rest:
            self.assertEqual("0", GUEST.sh(f"tail -c {rest} /dev/zvol/{target} | tr -d '\\0' | wc -c").strip())
        of_source, of_target = sums(GUEST.program("compare", source, target))
        self.assertEqual(of_source, of_target)

    def written(self, name):
        """Bytes that were written to the volume's device since it appeared."""
        return 512 * int(GUEST.sh(f"cat /sys/block/$(basename $(readlink /dev/zvol/{name}))/stat").split()[6])

    def copied(self, name):
        text = GUEST.get(name, "pvereconcile:copied")
        return 0 if text == "-" else int(text)


class Contents(Base):
    """The same bytes, whatever the shape of either side."""

    SHAPES = [  # pool, block of the source, of the target, size, thick source
        ("tank", "8k", "16k", 64 * MIB, False),
        ("tank", "16k", "128k", 64 * MIB, True),
        ("tank", "128k", "8k", 64 * MIB, False),
        ("tank", "8k", "1M", 40 * MIB + 8192, False),  # not a multiple of the new block
        ("rz1", "16k", "128k", 64 * MIB + 16384, False),
        ("rz1", "4k", "16k", 32 * MIB + 4096, True),
        ("rz2", "16k", "64k", 64 * MIB, True),
        ("rz2", "8k", "16k", 64 * MIB, False),
    ]

    def test_shapes(self):
        for pool, before, after, size, thick in self.SHAPES:
            with self.subTest(pool=pool, before=before, after=after, size=size):
                source, target = f"{pool}/t_source", f"{pool}/t_target"
                # Without compression a block of zeroes is stored.
                GUEST.create(source, size, before, "-o", "compression=off", thick=thick)
                GUEST.fill(source, 1, 9)
                GUEST.fill(source, 12, 6, source="/dev/zero")
                GUEST.fill(source, 401, 1, block="13k")  # begins and ends within blocks
                GUEST.fill(source, size // 4096 - 1, 1, block="4k")
                GUEST.create(target, size, after, "-o", "compression=off")
                lines = GUEST.program("copy", source, target)
                self.assertEqual(("end", ""), lines[-1])
                self.assert_identical(source, target)
                self.assertEqual(0, GUEST.number(target, "refreservation"))
                block = GUEST.number(target, "volblocksize")
                # 9 MiB, two odd ends; the zeroes are left out; 1 MiB for metadata.
                self.assertLess(GUEST.number(target, "logicalreferenced"), 10 * MIB + 4 * block)

    def test_what_was_not_on_the_disks_yet(self):
        GUEST.create("tank/t_source", 64 * MIB, "16k", "-o", "sync=disabled")
        GUEST.create("tank/t_target", 64 * MIB, "64k")
        GUEST.fill("tank/t_source", 0, 16)
        GUEST.program("copy", "tank/t_source", "tank/t_target")
        self.assert_identical("tank/t_source", "tank/t_target")

    def test_another_pool(self):
        GUEST.create("tank/t_source", 64 * MIB, "16k")
        GUEST.fill("tank/t_source", 3, 20)
        GUEST.create("rz2/t_target", 64 * MIB, "128k")
        GUEST.program("copy", "tank/t_source", "rz2/t_target")
        self.assert_identical("tank/t_source", "rz2/t_target")

    def test_a_difference_is_found(self):
        GUEST.create("tank/t_source", 64 * MIB, "16k")
        GUEST.fill("tank/t_source", 3, 20)
        GUEST.create("tank/t_target", 64 * MIB, "64k")
        GUEST.program("copy", "tank/t_source", "tank/t_target")
        GUEST.fill("tank/t_target", 9000, 1, block="512")  # into what was a hole or data: one sector
        of_source, of_target = sums(GUEST.program("compare", "tank/t_source", "tank/t_target"))
        self.assertNotEqual(of_source, of_target)

    def test_a_disk_with_snapshots(self):
        source, target = "tank/t_source", "rz2/t_target"
        GUEST.create(source, 256 * MIB, "8k")
        GUEST.create(target, 256 * MIB, "64k")
        steps = [
            lambda: GUEST.fill(source, 0, 24),
            lambda: (GUEST.fill(source, 1001, 7, block="8k"), GUEST.fill(source, 130, 8)),
            # Freed: whole new blocks, parts of them, and all from 132 MiB on.
            lambda: (GUEST.run("blkdiscard", "-o", str(3 * MIB + 8192), "-l", str(4 * MIB + 24576), f"/dev/zvol/{source}"),
                     GUEST.run("blkdiscard", "-o", str(132 * MIB), f"/dev/zvol/{source}")),
            lambda: GUEST.fill(source, 77, 1, block="100k"),
        ]
        since = []
        for number, step in enumerate(steps):
            step()
            last = number == len(steps) - 1
            name = source if last else f"{source}@s{number}"
            if not last:
                GUEST.run("zfs", "snapshot", name)
            GUEST.program("copy", *since, name, target)
            if not last:
                GUEST.run("zfs", "snapshot", f"{target}@s{number}")
            since = ["--since", f"s{number}"]
        self.assert_identical(source, target)
        for number in range(len(steps) - 1):
            of_source, of_target = sums(GUEST.program("compare", f"{source}@s{number}", f"{target}@s{number}"))
            self.assertEqual(of_source, of_target)
        # 24 - 4 + 2 MiB of data: what was freed is not stored.
        self.assertLess(GUEST.number(target, "logicalreferenced"), 24 * MIB)
        self.assertEqual(["tank/t_source@s0", "tank/t_source@s1", "tank/t_source@s2"],
                         GUEST.run("zfs", "list", "-H", "-t", "snapshot", "-o", "name", source).split())


class Space(Base):
    def test_holes_are_not_allocated(self):
        """1 GiB of which 90 % are holes, in pieces of 64 KiB all over it."""
        GUEST.create("tank/t_source", 1024 * MIB, "8k")
        GUEST.sh("perl -e 'open my $d, \"+<\", \"/dev/zvol/tank/t_source\" or die; open my $r, \"<\", \"/dev/urandom\" or die;"
                 "for my $n (0 .. 1599) { sysread $r, my $b, 65536; sysseek $d, $n * 640 * 1024, 0; syswrite($d, $b) == 65536 or die }"
                 "use IO::Handle; $d->sync or die'")
        GUEST.create("tank/t_target", 1024 * MIB, "64k")
        GUEST.program("copy", "tank/t_source", "tank/t_target")
        self.assertLess(GUEST.number("tank/t_target", "referenced"), 104 * MIB)
        self.assert_identical("tank/t_source", "tank/t_target")

    def test_a_pool_at_84_per_cent(self):
        GUEST.create("full/t_ballast", 700 * MIB, "128k")
        GUEST.create("full/t_source", 128 * MIB, "16k")
        GUEST.fill("full/t_source", 0, 48)
        GUEST.create("full/t_target", 128 * MIB, "64k")
        GUEST.run("zpool", "sync", "full")
        size, used = (int(x) for x in GUEST.run("zpool", "list", "-Hp", "-o", "size,alloc", "full").split())
        GUEST.fill("full/t_ballast", 0, (size * 84 // 100 - used) // MIB)
        GUEST.run("zpool", "sync", "full")
        self.assertGreaterEqual(int(GUEST.run("zpool", "list", "-Hp", "-o", "cap", "full")), 83)
        GUEST.program("copy", "full/t_source", "full/t_target")
        self.assert_identical("full/t_source", "full/t_target")
        # And where it does not fit, that is said; what is there is no finished copy, and the source is untouched.
        GUEST.destroy("full/t_target")
        before = GUEST.checksum("full/t_source")
        free = GUEST.number("full", "available") // MIB
        GUEST.fill("full/t_ballast", 600, free - 24)
        GUEST.create("full/t_target", 128 * MIB, "64k")
        with self.assertRaisesRegex(Failed, "No space left on device"):
            GUEST.program("copy", "full/t_source", "full/t_target")
        self.assertLess(self.copied("full/t_target"), 128 * MIB)
        self.assertEqual(before, GUEST.checksum("full/t_source"))


class Interrupted(Base):
    """Killed in the middle, run again: the same bytes, and what was verified is not copied again."""

    def start_and_wait(self):
        GUEST.create("tank/t_source", EXTENTS * EXTENT, "16k")
        self.scatter("tank/t_source")
        GUEST.run("zpool", "sync", "tank")
        GUEST.create("tank/t_target", EXTENTS * EXTENT, "64k")
        process = GUEST.start("copy", "--limit", str(3 * MIB // 2), "tank/t_source", "tank/t_target")
        GUEST.wait_for(lambda: self.copied("tank/t_target") >= EXTENT)
        return process

    def finish(self, at):
        self.assertGreaterEqual(at, EXTENT)
        self.assertLess(at, EXTENTS * EXTENT)
        before = self.written("tank/t_target")
        GUEST.program("copy", "tank/t_source", "tank/t_target")
        self.assertEqual(EXTENTS * EXTENT, self.copied("tank/t_target"))
        # 8 MiB per extent, only of those not verified yet.
        self.assertLessEqual(self.written("tank/t_target") - before, 8 * MIB * (EXTENTS - at // EXTENT))
        self.assert_identical("tank/t_source", "tank/t_target")

    def pids(self):
        """Of the program in the guest: the one with the stream, and its child that verifies."""
        return [int(pid) for pid in GUEST.sh("pgrep -f '^perl - copy' || :").split()]

    def test_kill_of_the_program(self):
        process = self.start_and_wait()
        GUEST.run("kill", "-9", str(min(self.pids())))
        self.assertNotEqual(0, process.wait(60))
        process.communicate()
        GUEST.wait_for(lambda: not self.pids(), 30)
        self.finish(self.copied("tank/t_target"))

    def test_kill_of_the_connection_ends_the_program(self):
        process = self.start_and_wait()
        process.kill()
        process.communicate()
        GUEST.wait_for(lambda: not self.pids(), 30)
        self.finish(self.copied("tank/t_target"))

    def test_asked_to_stop(self):
        process = self.start_and_wait()
        GUEST.run("kill", "-TERM", str(min(self.pids())))
        _, errors = process.communicate(timeout=120)
        self.assertEqual(1, process.returncode)
        at = self.copied("tank/t_target")
        self.assertRegex(errors.strip().splitlines()[-1], f"stopped by SIGTERM, {at} bytes are copied")
        self.finish(at)

    def test_reset_of_the_node(self):
        process = self.start_and_wait()
        GUEST.reset()
        process.kill()
        process.communicate()
        # After a restart nothing tells that the volume was not written in between: every block is looked at again.
        self.assertLess(self.copied("tank/t_target"), EXTENTS * EXTENT)
        GUEST.program("copy", "tank/t_source", "tank/t_target")
        self.assert_identical("tank/t_source", "tank/t_target")

    def test_reset_of_the_node_with_a_snapshot_as_source(self):
        GUEST.create("tank/t_source", EXTENTS * EXTENT, "16k")
        self.scatter("tank/t_source")
        GUEST.run("zfs", "snapshot", "tank/t_source@before")
        GUEST.create("tank/t_target", EXTENTS * EXTENT, "64k")
        process = GUEST.start("copy", "--limit", str(3 * MIB // 2), "tank/t_source@before", "tank/t_target")
        GUEST.wait_for(lambda: self.copied("tank/t_target") >= EXTENT)
        GUEST.reset()
        process.kill()
        process.communicate()
        at = self.copied("tank/t_target")
        self.assertGreaterEqual(at, EXTENT)
        before = self.written("tank/t_target")
        GUEST.program("copy", "tank/t_source@before", "tank/t_target")
        self.assertLessEqual(self.written("tank/t_target") - before, 8 * MIB * (EXTENTS - at // EXTENT))
        self.assert_identical("tank/t_source", "tank/t_target")

    def test_a_source_written_in_between(self):
        process = self.start_and_wait()
        process.kill()
        process.communicate()
        GUEST.wait_for(lambda: not self.pids(), 30)
        # New data, and a hole, in what was copied and verified already.
        GUEST.fill("tank/t_source", 1, 1)
        GUEST.run("blkdiscard", "-o", str(4 * MIB), "-l", str(2 * MIB), "/dev/zvol/tank/t_source")
        GUEST.run("zpool", "sync", "tank")
        GUEST.program("copy", "tank/t_source", "tank/t_target")
        self.assert_identical("tank/t_source", "tank/t_target")


class Refused(Base):
    def setUp(self):
        GUEST.create("tank/t_source", 32 * MIB, "16k")
        GUEST.fill("tank/t_source", 0, 4)
        GUEST.create("tank/t_target", 32 * MIB, "64k")

    def refused(self, text, *words):
        with self.assertRaisesRegex(Failed, text):
            GUEST.program(*words)

    def test_a_target_that_holds_data(self):
        before = GUEST.checksum("tank/t_source")
        GUEST.fill("tank/t_target", 100, 1, block="4k")
        self.refused("already holds data", "copy", "tank/t_source", "tank/t_target")
        self.refused("already holds data", "copy", "tank/t_target", "tank/t_source")  # the names swapped
        self.assertEqual(before, GUEST.checksum("tank/t_source"))

    def test_a_target_of_another_pool_that_was_written_a_moment_ago(self):
        GUEST.create("rz1/t_target", 32 * MIB, "64k", "-o", "sync=disabled")
        # So that what was written is still in memory, however slow the guest is.
        GUEST.sh("echo 600 > /sys/module/zfs/parameters/zfs_txg_timeout")
        self.addCleanup(GUEST.sh, "echo 5 > /sys/module/zfs/parameters/zfs_txg_timeout")
        GUEST.fill("rz1/t_target", 100, 1, block="4k")
        self.refused("already holds data", "copy", "tank/t_source", "rz1/t_target")

    def test_a_target_of_another_copy(self):
        GUEST.program("copy", "tank/t_source", "tank/t_target")
        GUEST.create("tank/t_other", 32 * MIB, "16k")
        self.refused("holds a copy of something else", "copy", "tank/t_other", "tank/t_target")

    def test_a_base_the_target_does_not_hold(self):
        GUEST.run("zfs", "snapshot", "tank/t_source@a")
        self.refused("does not hold tank/t_source@a", "copy", "--since", "a", "tank/t_source", "tank/t_target")

    def test_a_smaller_target(self):
        GUEST.create("tank/t_small", 16 * MIB, "16k")
        self.refused("is smaller than", "copy", "tank/t_source", "tank/t_small")

    def test_two_copies_into_one_target(self):
        first = GUEST.start("copy", "--limit", str(256 << 10), "tank/t_source", "tank/t_target")
        GUEST.wait_for(lambda: GUEST.get("tank/t_target", "pvereconcile:copy") != "-")
        device = GUEST.sh("readlink -f /dev/zvol/tank/t_target").strip()
        GUEST.wait_for(lambda: device in GUEST.sh("ls -l /proc/[0-9]*/fd 2>/dev/null || :"))
        self.refused("busy|in use", "copy", "tank/t_source", "tank/t_target")
        first.kill()
        first.communicate()

    def test_a_source_that_is_in_use(self):
        holder = subprocess.Popen(GUEST.ssh_alone + ["exec 9<>/dev/zvol/tank/t_source; echo held; sleep 60"],
                                  stdout=subprocess.PIPE, text=True)
        self.assertEqual("held\n", holder.stdout.readline())
        self.refused("busy", "copy", "tank/t_source", "tank/t_target")
        holder.kill()
        holder.communicate()

    def test_a_file_system(self):
        GUEST.run("zfs", "create", "-o", "mountpoint=none", "tank/files")
        self.addCleanup(GUEST.run, "zfs", "destroy", "tank/files")
        self.refused("tank/files is a filesystem, not a volume", "copy", "tank/t_source", "tank/files")

    def test_names(self):
        for name in ("tank", "tank/t_source; reboot", "tank/../t", "/dev/zd0", "tank/t_source@"):
            self.refused("not a name of a volume", "copy", name, "tank/t_target")
        self.refused("does not exist", "copy", "tank/none", "tank/t_target")


class Speed(Base):
    """Ratios within one run: seconds mean nothing on an emulated processor that others use, too."""

    ROUNDS = int(os.environ.get("LAB_ROUNDS", "3"))

    def timed(self, script):
        GUEST.sh("sync; zpool sync; echo 3 > /proc/sys/vm/drop_caches")
        return float(GUEST.sh(f"s=$(date +%s.%N); {{ {script}; }} >/dev/null; e=$(date +%s.%N); echo \"$e $s\" | awk '{{print $1-$2}}'",
                              timeout=3600))

    def best(self, name, other, ours, *target_options):
        """Best of several rounds for each, taken in turn; ours may be as fast as that or better by `ratio`."""
        times = {"other": [], "ours": []}
        with PROGRAM.open() as program:
            GUEST.sh("cat > /run/zvol_copy.pl", stdin=program.read())
        for _ in range(self.ROUNDS):
            for key, script in (("other", other), ("ours", ours)):
                GUEST.create("tank/t_target", GUEST.number("tank/t_source", "volsize"), "16k", *target_options)
                times[key].append(self.timed(script + "; zpool sync tank"))
        ratio = min(times["other"]) / min(times["ours"])
        print(f"{name}: {ratio:.2f} ({times})", file=sys.stderr)
        return ratio

    COPY = "perl /run/zvol_copy.pl copy tank/t_source tank/t_target"

    CONVERT = ("qemu-img convert -n -f raw -O raw -t none -T none --target-is-zero "
               "/dev/zvol/tank/t_source /dev/zvol/tank/t_target")
    COMPARE = "qemu-img compare -f raw -F raw -T none /dev/zvol/tank/t_source /dev/zvol/tank/t_target"
    DD = "dd if=/dev/zvol/tank/t_source of=/dev/zvol/tank/t_target bs=1M iflag=direct oflag=direct"

    def test_against_qemu_img(self):
        # Large enough that the commands every copy takes do not count.
        GUEST.create("tank/t_source", 2048 * MIB, "8k")
        GUEST.fill("tank/t_source", 0, 768)
        # The same work: everything read back and compared. Without that, for the record.
        self.assertGreaterEqual(self.best("qemu-img convert and compare / copy", f"{self.CONVERT}; {self.COMPARE}", self.COPY), 0.9)
        self.best("qemu-img convert / copy", self.CONVERT, self.COPY)

    def test_against_dd(self):
        # dd writes the zeroes. Where the target compresses, ZFS makes holes of them again: that is the second line.
        GUEST.create("tank/t_source", 4096 * MIB, "16k", "-o", "compression=off")
        for number in range(8):
            GUEST.fill("tank/t_source", number * 512 + 50, 50)
        self.assertGreaterEqual(self.best("dd / copy, 90 % holes", self.DD, self.COPY, "-o", "compression=off"), 2)
        self.best("dd / copy, 90 % holes, compressed", self.DD, self.COPY)

    def test_the_limit_holds(self):
        GUEST.create("tank/t_source", 256 * MIB, "64k")
        GUEST.fill("tank/t_source", 0, 40)
        GUEST.create("tank/t_target", 256 * MIB, "16k")
        begin = time.monotonic()
        GUEST.program("copy", "--limit", str(4 * MIB), "tank/t_source", "tank/t_target")
        self.assertGreaterEqual(time.monotonic() - begin, 9)


if __name__ == "__main__":
    unittest.main(verbosity=2)
