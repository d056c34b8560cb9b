"""Hugging Face: `PilotTrainer` in place of `Trainer`, here on a small BERT without downloads.

The task: is the first word of a sentence repeated anywhere in it?
"""

import tempfile

import torch
from transformers import BertConfig, BertForSequenceClassification, TrainingArguments

from lrpilot.integrations.transformers import PilotTrainer

WORDS, LENGTH = 10, 8
generator = torch.Generator().manual_seed(0)
sentences = torch.randint(WORDS, (1200, LENGTH), generator=generator)
repeated = (sentences[:, 1:] == sentences[:, :1]).any(1).long()
data = [{"input_ids": words, "labels": label} for words, label in zip(sentences, repeated, strict=True)]

model = BertForSequenceClassification(
    BertConfig(
        vocab_size=WORDS,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=LENGTH,
    )
)
with tempfile.TemporaryDirectory() as folder:
    arguments = TrainingArguments(
        output_dir=folder,
        num_train_epochs=5,
        per_device_train_batch_size=32,
        learning_rate=5e-5,
        logging_steps=20,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
    )
    trainer = PilotTrainer(model, arguments, train_dataset=data[:1000], eval_dataset=data[1000:])
    trainer.train()
    print(trainer.evaluate())
