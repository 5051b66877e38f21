package hint

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"
)

// Folder returns err, a failure to write into a folder, with what to do about
// it. setting is the setting that names the folder, such as RESULTS_DIR.
func Folder(err error, setting string) error {
	switch {
	case err == nil:
		return nil
	case is(err, syscall.ENOSPC, syscall.EDQUOT):
		return Or(err, "free some space, or choose another folder with "+setting)
	case is(err, fs.ErrPermission, syscall.EROFS, syscall.ENOTDIR, fs.ErrNotExist, syscall.EPERM):
		return Or(err, "choose a folder that you may write to, as "+setting+"=$HOME/"+example(setting))
	}
	return err
}

// example is a folder's name for a setting: results for RESULTS_DIR.
func example(setting string) string {
	name, _, _ := strings.Cut(strings.ToLower(setting), "_")
	return name
}

func is(err error, kinds ...error) bool {
	return slices.ContainsFunc(kinds, func(k error) bool { return errors.Is(err, k) })
}
