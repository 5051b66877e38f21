package corpus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/google/renameio/v2"

	"inferbench/harness/hint"
)

// dataSetName is a data set's name at Hugging Face.
var dataSetName = regexp.MustCompile(`^[\w.-]+/[\w.-]+$`)

// IsDataSet reports whether a name is one that a data set at Hugging Face may have.
func IsDataSet(name string) bool {
	return dataSetName.MatchString(name) && !strings.Contains(name, "..")
}

// maxDataSet bounds what is fetched of a data set: the traces of AgentX have some
// hundred MB.
const maxDataSet = 16 << 30

// DataSet is the folder in the cache that has the parquet files of a data set at
// Hugging Face, of its default configuration and the split train. They are fetched
// once, and are no files of record: nothing is known of them beforehand.
func (c *Cache) DataSet(ctx context.Context, name string) (folder string, err error) {
	if !IsDataSet(name) {
		return "", fmt.Errorf("%q is not the name of a data set, as owner/name", name)
	}
	folder, err = c.path(File{Base: "datasets/" + strings.ReplaceAll(name, "/", "--"), Setting: "DATASET_PATH"})
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", hint.Folder(fmt.Errorf("cache (CACHE_DIR): %w", err), "CACHE_DIR")
	}
	if c.Offline {
		return "", c.noDataSet(name, folder, errOffline)
	}
	if err := c.fetchDataSet(ctx, name, folder); err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("fetch %s: %w", name, ctx.Err())
		}
		return "", c.noDataSet(name, folder, err)
	}
	return folder, nil
}

// noDataSet says why a data set is not here, and how else to bring it.
func (c *Cache) noDataSet(name, folder string, err error) error {
	advice := ""
	switch {
	case errors.Is(err, errDenied) && c.Token == "":
		advice = "set HF_TOKEN to a token of somebody who may read it, or "
	case errors.Is(err, errDenied):
		advice = fmt.Sprintf("ask for access at %s/datasets/%s with the account of HF_TOKEN, or ", c.home(), name)
	}
	return hint.New(fmt.Errorf("data set %s: %w", name, err), advice+fmt.Sprintf("put its parquet files into %s, or set "+
		"DATASET_PATH to a folder that has them", folder))
}

// fetchDataSet fetches all files of a data set beside the folder, which then takes its
// name: it is there whole or not at all.
func (c *Cache) fetchDataSet(ctx context.Context, name, folder string) error {
	home := c.home()
	var list []byte
	err := c.download(ctx, home+"/api/datasets/"+name+"/parquet/default/train", maxDownload,
		func(chunk []byte, _ int64) error { list = append(list, chunk...); return nil })
	if err != nil {
		return err
	}
	var urls []string
	if err := json.Unmarshal(list, &urls); err != nil || len(urls) == 0 {
		return errors.New("the hub lists no parquet files of it")
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return hint.Folder(fmt.Errorf("cache (CACHE_DIR): %w", err), "CACHE_DIR")
	}
	partial, err := os.MkdirTemp(filepath.Dir(folder), ".fetching-")
	if err != nil {
		return hint.Folder(fmt.Errorf("cache (CACHE_DIR): %w", err), "CACHE_DIR")
	}
	defer os.RemoveAll(partial)
	left := int64(maxDataSet)
	for i, u := range urls {
		if rest, ok := strings.CutPrefix(u, huggingFace); ok {
			u = home + rest
		}
		n, err := c.fetchTo(ctx, filepath.Join(partial, fmt.Sprintf("%04d.parquet", i)), u, left)
		if err != nil {
			return err
		}
		left -= n
	}
	return os.Rename(partial, folder)
}

// fetchTo writes what comes from url to a file, and returns its size.
func (c *Cache) fetchTo(ctx context.Context, file, url string, most int64) (size int64, err error) {
	f, err := renameio.NewPendingFile(file, renameio.WithPermissions(0o644))
	if err != nil {
		return 0, err
	}
	defer f.Cleanup()
	err = c.download(ctx, url, most, func(chunk []byte, total int64) error {
		n, err := f.Write(chunk)
		if size += int64(n); err == nil && c.OnProgress != nil {
			c.OnProgress(File{Base: filepath.Base(file)}, size, total)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return size, f.CloseAtomicallyReplace()
}
