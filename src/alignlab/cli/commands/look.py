"""Look at data, runs and models, and carry them elsewhere."""

from __future__ import annotations

from .command import Command, Option
from .options import ANY, CHAT_TEMPLATE, COUNT, data_option

LOOK: dict[str, Command] = {
    "doctor": Command(
        "check data for a model: what would break training, with the rows that show it",
        "stages:doctor",
        (
            Option(
                "data",
                "town:NAME, a file or folder in a format of the field, a hub name, a run, or a mixture",
                "",
                positional=True,
                names="data",
            ),
            ANY,
            Option(
                "reward",
                "a reward model that is to score the answers: does it read the chats as the policy does?",
                "",
                names="reward",
            ),
            Option(
                "against",
                "other data (held-out, say) whose prompts must not be in this one",
                "",
                names="data",
            ),
            Option(
                "kind",
                (
                    "what the data is for: text, prompt, demonstration, comparison, ranking or unpaired; "
                    "empty = what it holds by nature"
                ),
                "",
                names="want",
            ),
            Option("max-length", "tokens that training would allow; 0 = the model's context", 0),
            CHAT_TEMPLATE,
            COUNT,
        ),
    ),
    "export": Command(
        (
            "write data in a layout that other libraries read, or a model as a GGUF file or a folder "
            "without adapters"
        ),
        "stages:export",
        (
            data_option("", "what is written"),
            COUNT,
            Option(
                "format",
                "trl, openrlhf or llamafactory for what those read of such data; or a layout: text, prompt, "
                "messages, prompt-completion, preference, preference-implicit, unpaired, ranking, alpaca, "
                "alpaca-preference, sharegpt, "
                "sharegpt-preference, unpaired-messages, llamafactory-ranking, hh, "
                "ultrafeedback, records (ours: everything)",
                "trl",
            ),
            Option("out", "the file; its ending says JSONL, JSON, CSV or Parquet; of --merge the folder", ""),
            Option("plain", "texts instead of messages, where TRL has both", False, switch=True),
            Option("overwrite", "replace the file if it is there", False, switch=True),
            Option("gguf", "write a model for llama.cpp in place of data", False, switch=True),
            Option(
                "merge",
                "write a model as a plain folder for transformers: adapters added to its weights, in fp32",
                False,
                switch=True,
            ),
            Option("model", "of --gguf and --merge: a model as elsewhere", "", names="model"),
            Option("quantize", "of --gguf: f32, f16, q8_0, q4_1 or q4_0 (empty = q8_0)", ""),
        ),
    ),
    "from-trl": Command(
        "say what a TRL config is here, key by key, and write it as TOML for --config",
        "interop.from_trl:from_trl",
        (
            Option(
                "file",
                "a YAML or JSON file, or a file that holds the trainer's command line",
                "",
                positional=True,
            ),
            Option("args", 'the command line itself: "--learning_rate 3e-6 --kl_coef 0.1"', ""),
            Option(
                "method",
                "sft, reward, dpo, kto, orpo, simpo, ppo, rloo or grpo; empty = told from the keys",
                "",
            ),
            Option("write", "the TOML file to write", ""),
        ),
    ),
    "plan": Command(
        "estimate what a step would take on GPUs: memory, seconds, and what binds",
        "sizing:plan",
        (
            Option("params", "weights of the policy, as 8e9", 8e9),
            Option("gpus", "how many", 8),
            Option("method", "sft, reward, dpo, rloo, grpo or ppo", "ppo"),
            Option("gpu", "a100, h100 or h200", "h100"),
            Option("tensor-parallel", "GPUs that share one sampler; 0 = the fewest that hold it", 0),
            Option("completions", "of a step", 512),
            Option("prompt-tokens", "of a prompt, in the mean", 256),
            Option("new-tokens", "of a completion, in the mean", 512),
            Option("most-new-tokens", "of a completion at most", 1024),
        ),
    ),
    "town": Command(
        "check the town: nothing that a test asks stands answered in what training reads (town check)",
        "town.check:command",
        (
            Option("what", "check", "check", positional=True),
            Option("count", "documents of the corpus and records of each set; 0 = the usual number", 0),
        ),
    ),
    "report": Command(
        "write one HTML page from run folders",
        "report.page:report_command",
        (
            Option(
                "folder", "a pipeline's folder, or any run folders", "runs/demo", many=True, positional=True
            ),
            Option("page", "where the page is written; empty = report.html in the first folder", ""),
        ),
    ),
    "runs": Command(
        (
            "list the runs below a folder; runs doctor RUN says what is normal in a run's metrics and what "
            "is broken; runs verify RUN whether its files are as they were written; runs compare RUN RUN "
            "what they have otherwise"
        ),
        "stages:list_runs",
        (
            Option(
                "words",
                "a folder to look in, or: doctor RUN, verify RUN, compare RUN RUN",
                "runs",
                many=True,
                positional=True,
            ),
        ),
    ),
    "view": Command(
        "show how a model's tokenizer reads a data set: tokens and loss mask in colour",
        "stages:view",
        (
            ANY,
            data_option("town:demos", "demonstrations"),
            Option("count", "how many rows", 3),
            CHAT_TEMPLATE,
        ),
    ),
}
