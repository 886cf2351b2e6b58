package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
	"unsafe"
)

const (
	rootDevice = "/dev/vda"
	newRoot    = "/root"
	// diskWait is how long the disk may take to appear.
	diskWait = 10 * time.Second
)

// mountRoot mounts the root disk at newRoot.
func mountRoot() error {
	end := time.Now().Add(diskWait)
	for {
		if _, err := os.Stat(rootDevice); err == nil {
			break
		} else if time.Now().After(end) {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	if err := os.MkdirAll(newRoot, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount(rootDevice, newRoot, "ext4", syscall.MS_NOATIME, "discard"); err != nil {
		return fmt.Errorf("mount %s: %w", rootDevice, err)
	}
	return nil
}

// growRoot grows the mounted ext4 to its device.
func growRoot() error {
	const (
		resizeFS     = 0x40086610 // EXT4_IOC_RESIZE_FS, linux/ext4.h
		getSize64    = 0x80081272 // BLKGETSIZE64, linux/fs.h
		superblockAt = 1024
	)
	device, err := os.Open(rootDevice)
	if err != nil {
		return err
	}
	defer device.Close()
	deviceBytes := uint64(0)
	if err := control(device, func(fd int) error { return ioctl(fd, getSize64, unsafe.Pointer(&deviceBytes)) }); err != nil {
		return err
	}
	superblock := make([]byte, 1024)
	if _, err := device.ReadAt(superblock, superblockAt); err != nil {
		return err
	}
	blocks, blockBytes := ext4Size(superblock)
	wanted := deviceBytes / blockBytes
	if wanted <= blocks {
		return nil
	}
	root, err := os.Open(newRoot)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := control(root, func(fd int) error { return ioctl(fd, resizeFS, unsafe.Pointer(&wanted)) }); err != nil {
		return fmt.Errorf("from %d to %d blocks: %w", blocks, wanted, err)
	}
	logf("root disk grew from %d to %d blocks", blocks, wanted)
	return nil
}

// ext4Size reads the number and size of blocks from a superblock (ext4 disk layout, struct ext4_super_block).
func ext4Size(superblock []byte) (blocks, blockBytes uint64) {
	const (
		blocksLow, logBlockSize, incompatible, blocksHigh = 0x4, 0x18, 0x60, 0x150
		has64Bit                                          = 0x80
	)
	le := binary.LittleEndian
	blocks = uint64(le.Uint32(superblock[blocksLow:]))
	if le.Uint32(superblock[incompatible:])&has64Bit != 0 {
		blocks |= uint64(le.Uint32(superblock[blocksHigh:])) << 32
	}
	return blocks, 1 << (10 + min(le.Uint32(superblock[logBlockSize:]), 6))
}

// switchRoot makes newRoot the root of this process and frees the initrd's memory. /dev moves along; /proc and /sys are mounted anew.
func switchRoot() error {
	if err := moveMount("/dev", newRoot+"/dev"); err != nil {
		return err
	}
	for _, path := range []string{"/proc", "/sys"} {
		if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil {
			logf("unmount %s: %v", path, err)
		}
	}
	emptyInitrd()
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	if err := syscall.Mount(".", "/", "", syscall.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move root: %w", err)
	}
	if err := syscall.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return os.Chdir("/")
}

func moveMount(from, to string) error {
	if err := makeMountPoint(to); err != nil {
		return err
	}
	if err := syscall.Mount(from, to, "", syscall.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move %s: %w", from, err)
	}
	return nil
}

// emptyInitrd removes everything on the initrd's own file system; the running program keeps its file.
func emptyInitrd() {
	var initrd syscall.Stat_t
	if err := syscall.Lstat("/", &initrd); err != nil {
		return // then only its memory is lost
	}
	removeBelow("/", initrd.Dev)
}

// removeBelow stays on one device: the root disk mounted below is another.
func removeBelow(folder string, device uint64) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return // as above
	}
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		var stat syscall.Stat_t
		if syscall.Lstat(path, &stat) != nil || stat.Dev != device {
			continue
		}
		if entry.IsDir() {
			removeBelow(path, device)
		}
		_ = os.Remove(path) // the mount point of the root disk stays
	}
}
