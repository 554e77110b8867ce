// Drives containerd's snapshotter for device mapper in this very process, which is the fastest way it can be used, and
// prints { "metric": [ns per operation, …] }. Trials: prepare (one after the other), prepare-100 (`count` at once), and
// its unpacking: unpack METRIC ARCHIVE TYPE DEVICE.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/containerd/containerd/snapshots/devmapper"
	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
)

const parent = "parent"

type samples map[string][]int64

func (s samples) add(metric string, start time.Time, operations int) {
	s[metric] = append(s[metric], time.Since(start).Nanoseconds()/int64(operations))
}

func check(what string, err error) {
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "Error: containerd: %s: %v\n", what, err)
	os.Exit(1)
}

// Each key in a goroutine of its own; the first error ends the program.
func together(keys []string, do func(key string) error) {
	var group sync.WaitGroup
	for _, key := range keys {
		group.Add(1)
		go func(key string) {
			defer group.Done()
			check(key, do(key))
		}(key)
	}
	group.Wait()
}

func keysOf(name string, count int) []string {
	keys := make([]string, count)
	for i := range keys {
		keys[i] = fmt.Sprintf("%s-%d", name, i)
	}
	return keys
}

func main() {
	pool := flag.String("pool", "", "the pool's name")
	root := flag.String("root", "", "folder of the snapshotter's own records")
	size := flag.String("size", "1GiB", "size of the file systems")
	count := flag.Int("count", 1, "layers")
	repeats := flag.Int("repeats", 1, "rounds of those at once")
	flag.Parse()
	logrus.SetLevel(logrus.ErrorLevel)

	ctx := log.WithLogger(context.Background(), log.L)
	switch flag.Arg(0) {
	case "unpack":
		show(timed(flag.Arg(1), func() { unpackWhole(ctx, flag.Arg(2), flag.Arg(3), flag.Arg(4)) }))
		return
	}
	store, err := devmapper.NewSnapshotter(ctx, &devmapper.Config{
		RootPath: *root, PoolName: *pool, BaseImageSize: *size, FileSystemType: "ext4",
	})
	check("open", err)
	_, err = store.Prepare(ctx, "made", "")
	check("first layer", err)
	check("commit", store.Commit(ctx, parent, "made"))
	prepare := func(key string) error {
		_, err := store.Prepare(ctx, key, parent)
		return err
	}
	remove := func(key string) error { return store.Remove(ctx, key) }

	found := samples{}
	switch trial := flag.Arg(0); trial {
	case "prepare":
		keys := keysOf("layer", *count)
		for _, key := range keys {
			start := time.Now()
			check(key, prepare(key))
			found.add("prepare", start, 1)
		}
		together(keys, remove)
	case "prepare-100":
		for repeat := 0; repeat < *repeats; repeat++ {
			keys := keysOf(fmt.Sprintf("layer-%d", repeat), *count)
			start := time.Now()
			together(keys, prepare)
			found.add("prepare-100", start, *count)
			start = time.Now()
			together(keys, remove)
			found.add("remove-100", start, *count)
			found.add("remove-100-gone", start, *count)
		}
	default:
		check("trial", fmt.Errorf("unknown: %s", trial))
	}
	check("close", store.Close())
	show(found)
}

func show(found samples) {
	text, err := json.Marshal(found)
	check("json", err)
	fmt.Println(string(text))
}
