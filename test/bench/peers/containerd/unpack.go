package main

import (
	"context"
	_ "crypto/sha256"
	"io"
	"os"
	"time"

	"github.com/containerd/containerd/archive"
	"github.com/containerd/containerd/archive/compression"
	"github.com/containerd/containerd/mount"
	"github.com/opencontainers/go-digest"
)

// Unpacks an archive into a folder, as containerd's own differ does: decompressed, with the digest of the archive.
func unpack(ctx context.Context, file, root string) {
	from, err := os.Open(file)
	check("archive", err)
	defer from.Close()
	plain, err := compression.DecompressStream(from)
	check("decompress", err)
	defer plain.Close()
	digester := digest.Canonical.Digester()
	reader := io.TeeReader(plain, digester.Hash())
	_, err = archive.Apply(ctx, root, reader)
	check("apply", err)
	_, err = io.Copy(io.Discard, reader)
	check("read", err)
	digester.Digest()
}

// The same into a device, mounted for it.
func unpackWhole(ctx context.Context, file, kind, source string) {
	mounts := []mount.Mount{{Type: kind, Source: source}}
	check("mount", mount.WithTempMount(ctx, mounts, func(root string) error {
		unpack(ctx, file, root)
		return nil
	}))
}

// Prints how long one took, without the start of this program.
func timed(metric string, body func()) samples {
	start := time.Now()
	body()
	found := samples{}
	found.add(metric, start, 1)
	return found
}
