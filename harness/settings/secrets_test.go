package settings

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSecretsThatCannotBe(t *testing.T) {
	empty, lines := filepath.Join(t.TempDir(), "empty"), filepath.Join(t.TempDir(), "lines")
	require.NoError(t, os.WriteFile(empty, []byte("\n"), 0o600))
	require.NoError(t, os.WriteFile(lines, []byte("s3cret-one\ns3cret-two\n"), 0o600))
	for want, env := range map[string]map[string]string{
		"API_KEY (from the environment): want the key alone":                  {"API_KEY": "s3cret\nX-Other: 1"},
		"a word such as Bearer":                                               {"API_KEY": "Bearer s3cret"},
		"HF_TOKEN (from the environment): want the key alone":                 {"HF_TOKEN": "hf s3cret"},
		"the file is empty":                                                   {"API_KEY_FILE": empty},
		"API_KEY_FILE=\"" + lines + "\" (from the environment): want the key": {"API_KEY_FILE": lines},
		"EXTRA_BODY holds a key":                                              {"API_KEY": "s3cret-long", "EXTRA_BODY": `{"key":"s3cret-long"}`},
		"MODEL holds a key":                                                   {"HF_TOKEN": "s3cret-long", "MODEL": "x-s3cret-long"},
		"BASE_URL (from the environment): want an address without ?":          {"BASE_URL": "http://h:1/?key=s3cret"},
	} {
		_, err := load(t, nil, env, "")
		require.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "\n")
		assert.NotContains(t, err.Error(), "s3cret")
	}
	s, err := load(t, nil, map[string]string{"API_KEY": "EMPTY", "MODEL": "EMPTY-7b"}, "")
	require.NoError(t, err, "a word that stands for no key is no secret")
	assert.Equal(t, "EMPTY", s.Server.APIKey)
}

// .env as other editors and other tools write it.
func TestDotenvOfOthers(t *testing.T) {
	for name, dotenv := range map[string]string{
		"Windows":      "\ufeffISL=512\r\nOSL=64\r\nAPI_KEY=s3cret\r\n",
		"shell":        "export ISL=512\nexport OSL='64'\nexport API_KEY=\"s3cret\" # mine\n",
		"white space":  " ISL = 512 \n\nOSL=\"64 \"\nAPI_KEY=' s3cret '",
		"BOM, comment": "\ufeff# mine\nISL=512\nOSL=64\nAPI_KEY=s3cret\n",
	} {
		t.Run(name, func(t *testing.T) {
			s, err := load(t, nil, nil, dotenv)
			require.NoError(t, err)
			assert.Equal(t, []int{512, 64}, []int{s.Selection.ISL, s.Selection.OSL})
			assert.Equal(t, "s3cret", s.Server.APIKey)
			assert.Equal(t, map[string]string{"ISL": "512", "OSL": "64"}, s.Given)
		})
	}
	s, err := load(t, nil, nil, "API_KEY='a$HOME#b'\n")
	require.NoError(t, err)
	assert.Equal(t, "a$HOME#b", s.Server.APIKey, "in single quotes a value is what it is")
}
