package corpus

// WikiText2 is the test split of WikiText-2 in its raw form, the file that
// lm-evaluation-harness's wikitext task is made of (Merity, Xiong, Bradbury,
// Socher: Pointer Sentinel Mixture Models, 2016; CC BY-SA 3.0 and GFDL).
var WikiText2 = File{
	Name: "wikitext-2-raw-v1 test", Base: wikitextBase, Size: 1290590, Setting: "WIKITEXT",
	SHA256: "173c87a53759e0201f33e0ccf978e510c2042d7f2cb78229d9a50d79b9e7dd08",
	Sources: []Source{
		{"https://huggingface.co/datasets/Salesforce/wikitext/resolve/b08601e04326c79dfdd32d625aee71d232d685c3/wikitext-2-raw-v1/test-00000-of-00001.parquet", wikitext},
		{"https://huggingface.co/datasets/ggml-org/ci/resolve/927b3642933080f1b0e811e2f916e14c292992f9/wikitext-2-raw-v1.zip", wikitextZip},
		{"https://wikitext.smerity.com/wikitext-2-raw-v1.zip", wikitextZip},
		{"https://huggingface.co/datasets/EleutherAI/wikitext_document_level/resolve/refs%2Fconvert%2Fparquet/wikitext-2-raw-v1/test/0000.parquet", wikitext},
	},
}

const wikitextBase = "wiki.test.raw"

// wikitextZipSHA256 is the digest of wikitext-2-raw-v1.zip, 4,721,645 bytes.
const wikitextZipSHA256 = "ef7edb566e3e2b2d31b29c1fdb0c89a4cc683597484c3dc2517919c615435a11"

func wikitext(b []byte) ([]byte, error) { return Wikitext(b, wikitextBase) }

func wikitextZip(b []byte) ([]byte, error) {
	if err := (File{SHA256: wikitextZipSHA256, Size: 4721645}).Check(b); err != nil {
		return nil, err
	}
	return wikitext(b)
}

const gradeSchoolMath = "https://raw.githubusercontent.com/openai/grade-school-math/3101c7d5072418e28b9008a6636bde82a006892c/grade_school_math/data/"

// GSM8KTest and GSM8KTrain are the questions of the gsm8k task and those that
// its examples are drawn from (Cobbe et al.: Training Verifiers to Solve Math
// Word Problems, 2021; MIT licence). openai/gsm8k on Hugging Face has the same
// rows.
var (
	GSM8KTest = File{
		Name: "gsm8k test", Base: "gsm8k-test.jsonl", Size: 749738, Setting: "GSM8K",
		SHA256:  "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14",
		Sources: []Source{{URL: gradeSchoolMath + "test.jsonl"}},
	}
	GSM8KTrain = File{
		Name: "gsm8k train", Base: "gsm8k-train.jsonl", Size: 4166206, Setting: "GSM8K_TRAIN",
		SHA256:  "17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465",
		Sources: []Source{{URL: gradeSchoolMath + "train.jsonl"}},
	}
)
