// Makes tree.db, which the tests of lib/store/foreign/bolt.ts read, with bbolt itself: buckets in pages and inside of
// values, branches, a value of many pages, and what several transactions leave. Run with Debian's Go as
// `GO111MODULE=off go run test/unit/store/foreign/bolt/make.go tree.db`, from packages golang-go and golang-github-coreos-bbolt-dev.
package main

import (
	"bytes"
	"fmt"
	"os"

	"go.etcd.io/bbolt"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	db, err := bbolt.Open(os.Args[1], 0600, nil)
	must(err)
	for round := 0; round < 3; round++ {
		must(db.Update(func(tx *bbolt.Tx) error {
			many, err := tx.CreateBucketIfNotExists([]byte("many"))
			must(err)
			for i := round; i < 3000; i += 3 {
				must(many.Put([]byte(fmt.Sprintf("key-%05d", i)), bytes.Repeat([]byte{byte(i)}, i%50)))
			}
			outer, err := tx.CreateBucketIfNotExists([]byte("outer"))
			must(err)
			small, err := outer.CreateBucketIfNotExists([]byte(fmt.Sprintf("small-%d", round)))
			must(err)
			must(small.Put([]byte("number"), []byte{byte(round)}))
			must(outer.Put([]byte("large"), bytes.Repeat([]byte{7}, 20000)))
			must(outer.Put([]byte("gone"), []byte("soon")))
			return nil
		}))
	}
	must(db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("outer")).Delete([]byte("gone")) }))
	must(db.Close())
}
