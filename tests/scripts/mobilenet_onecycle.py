"""Inverted residuals, one-cycle, label smoothing, mixup, clipped and accumulated gradients."""

import argparse
import copy
import random

import numpy as np
import torch
from torch import nn, optim
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


def conv_bn(inp, oup, kernel, stride=1, groups=1, act=nn.ReLU6):
    return nn.Sequential(
        nn.Conv2d(inp, oup, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(oup, momentum=0.03),
        act(inplace=True),
    )


class SqueezeExcite(nn.Module):
    def __init__(self, channels, reduction=4):
        super().__init__()
        self.fc = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // reduction, 1),
            nn.SiLU(),
            nn.Conv2d(channels // reduction, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x):
        return x * self.fc(x)


class InvertedResidual(nn.Module):
    def __init__(self, inp, oup, stride, expand_ratio, act):
        super().__init__()
        hidden = int(round(inp * expand_ratio))
        self.use_res_connect = stride == 1 and inp == oup
        self.conv = nn.Sequential(
            conv_bn(inp, hidden, 1, act=act),
            conv_bn(hidden, hidden, 3, stride, groups=hidden, act=act),
            SqueezeExcite(hidden),
            nn.Conv2d(hidden, oup, 1, bias=False),
            nn.BatchNorm2d(oup),
        )

    def forward(self, x):
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNet(nn.Module):
    def __init__(self, num_classes=4):
        super().__init__()
        layers = [conv_bn(3, 8, 3, 1, act=nn.Hardswish)]
        for inp, oup, stride, act in [(8, 8, 1, nn.ReLU6), (8, 12, 2, nn.Hardswish)]:
            layers.append(InvertedResidual(inp, oup, stride, 2, act))
        self.features = nn.Sequential(*layers)
        self.head = nn.ModuleDict({"norm": nn.LayerNorm(12), "fc": nn.Linear(12, num_classes)})
        self.apply(self._init)

    @staticmethod
    def _init(m):
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            nn.init.trunc_normal_(m.weight, std=0.2)

    def forward(self, x):
        x = self.features(x).mean([2, 3])
        return self.head["fc"](F.gelu(self.head["norm"](x)))


def make_model(args):
    return MobileNet()


def load_data():
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 4, 64)
    images = 0.5 * rng.standard_normal((64, 3, 8, 8))
    images[:, 0] += (labels[:, None, None] - 1.5) * np.linspace(-1, 1, 8)
    return images.astype(np.float32), labels


class Images(Dataset):
    def __init__(self, images, labels, transform=None):
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        image = torch.from_numpy(self.images[i])
        if self.transform is not None:
            image = self.transform(image)
        return image, int(self.labels[i])


def random_flip(image):
    return torch.flip(image, [2]) if random.random() < 0.5 else image


def mixup(x, y, rng, alpha=0.2):
    lam = rng.beta(alpha, alpha)
    index = torch.from_numpy(rng.permutation(x.size(0)))
    return lam * x + (1 - lam) * x[index], y, y[index], lam


class ModelEma:
    def __init__(self, model, decay):
        self.module = copy.deepcopy(model).eval()
        self.decay = decay
        for p in self.module.parameters():
            p.requires_grad_(False)

    @torch.no_grad()
    def update(self, model):
        for ema, value in zip(self.module.state_dict().values(), model.state_dict().values()):
            if ema.is_floating_point():
                ema.mul_(self.decay).add_(value, alpha=1 - self.decay)
            else:
                ema.copy_(value)


def parameter_groups(model, weight_decay):
    decay, no_decay = [], []
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        (no_decay if p.ndim <= 1 or name.endswith(".bias") else decay).append(p)
    return [
        {"params": no_decay, "weight_decay": 0.0},
        {"params": decay, "weight_decay": weight_decay},
    ]


@torch.no_grad()
def evaluate(model, loader):
    model.eval()
    hits = []
    for x, y in loader:
        hits.append((model(x).argmax(1) == y).float())
    return torch.cat(hits).mean().item()


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--accumulate", type=int, default=2)
    parser.add_argument("--clip", type=float, default=1.0)
    parser.add_argument("--lr", type=float, default=0.02)
    args = parser.parse_args(argv)
    random.seed(0)
    rng = np.random.default_rng(0)

    images, labels = load_data()
    train_loader = DataLoader(Images(images[:48], labels[:48], random_flip), args.batch)
    val_loader = DataLoader(Images(images[48:], labels[48:]), args.batch, num_workers=0)
    model = make_model(args)
    ema = ModelEma(model, 0.9)
    optimizer = optim.AdamW(parameter_groups(model, 0.05), lr=args.lr, betas=(0.9, 0.99))
    steps = args.epochs * (len(train_loader) // args.accumulate)
    scheduler = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=args.lr, total_steps=steps)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    losses, accuracies = [], []
    for epoch in range(args.epochs):
        model.train()
        optimizer.zero_grad(set_to_none=True)
        for i, (x, y) in enumerate(train_loader, 1):
            x, y_a, y_b, lam = mixup(x, y, rng)
            output = model(x)
            loss = lam * criterion(output, y_a) + (1 - lam) * criterion(output, y_b)
            (loss / args.accumulate).backward()
            losses.append(loss.item())
            if i % args.accumulate == 0:
                norm = nn.utils.clip_grad_norm_(model.parameters(), args.clip)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad(set_to_none=True)
                ema.update(model)
        largest = max(p.detach().abs().max().item() for p in model.parameters())
        accuracies += [evaluate(model, val_loader), evaluate(ema.module, val_loader)]
        print(
            f"epoch {epoch}: loss {losses[-1]:.5f} norm {norm:.4f} largest {largest:.4f} "
            f"lr {scheduler.get_last_lr()[0]:.6f} accuracy {accuracies[-2]:.3f} "
            f"of the average {accuracies[-1]:.3f}"
        )
    return losses, accuracies


if __name__ == "__main__":
    main()
