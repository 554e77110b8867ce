// containerd's own suite for snapshotters, against the server on the socket that the environment names.
package suite

import (
	"context"
	"os"
	"testing"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/snapshots"
	"github.com/containerd/containerd/snapshots/proxy"
	"github.com/containerd/containerd/snapshots/testsuite"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const name = "dm-thin"

func TestSnapshotter(t *testing.T) {
	address := os.Getenv("DM_THIN_SNAPSHOTTER")
	if address == "" {
		t.Fatal("DM_THIN_SNAPSHOTTER names no socket")
	}
	connection, err := grpc.Dial("unix://"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	client := snapshotsapi.NewSnapshotsClient(connection)
	testsuite.SnapshotterSuite(t, name, func(context.Context, string) (snapshots.Snapshotter, func() error, error) {
		return proxy.NewSnapshotter(client, name), nil, nil
	})
}
