package settings

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Shard says that this process is one of several that share the load.
type Shard struct {
	Index, Count int           // Index from 0; a Count of 0 is no sharding
	Dir          string        // seen by all of them
	Timeout      time.Duration // how long they wait for each other
	Lost         time.Duration // how long one may give no sign of life
}

// setShard reads INDEX/COUNT.
func setShard(s *Settings, v string) error {
	index, count, _ := strings.Cut(v, "/")
	i, err1 := strconv.Atoi(index)
	n, err2 := strconv.Atoi(count)
	if err1 != nil || err2 != nil || n < 1 || i < 0 || i >= n {
		return errors.New("want INDEX/COUNT, as 0/4 to 3/4")
	}
	s.Shard.Index, s.Shard.Count = i, n
	return nil
}

func setShardTimeout(s *Settings, v string) (err error) {
	s.Shard.Timeout, err = duration(v)
	return err
}

func setShardLost(s *Settings, v string) (err error) {
	s.Shard.Lost, err = duration(v)
	return err
}

func (s Settings) checkShard() error {
	switch sh := s.Shard; {
	case sh.Count < 2:
		return nil
	case sh.Dir == "":
		return fmt.Errorf("SHARD=%d/%d: set SHARD_DIR to a folder that all shards see", sh.Index, sh.Count)
	case s.Embedded():
		return fmt.Errorf("SHARD=%d/%d: set BASE_URL, since each shard would start an embedded engine of its own",
			sh.Index, sh.Count)
	}
	return nil
}
