"""A VGG made by a loop over a list, its weights set over self.modules(), top-k accuracy."""

import argparse
import math
import time

import numpy as np
import torch
import torch.nn as nn
import torch.optim
import torch.utils.data

cfg = {"A": [8, "M", 12, 12, "M"], "B": [8, 8, "M", 12, "M", 16, "A"]}


class VGG(nn.Module):
    def __init__(self, features, width, num_classes=6, dropout=0.0):
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.classifier = nn.Sequential(
            nn.Linear(width, 16),
            nn.ReLU(True),
            nn.Dropout(p=dropout),
            nn.Linear(16, num_classes),
        )
        self._initialize_weights()

    def forward(self, x):
        x = self.features(x)
        x = self.avgpool(x)
        x = x.view(x.size(0), -1)
        return self.classifier(x)

    def _initialize_weights(self):
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                if m.bias is not None:
                    nn.init.constant_(m.bias, 0)
            elif isinstance(m, nn.BatchNorm2d):
                nn.init.constant_(m.weight, 1)
                nn.init.constant_(m.bias, 0)
            elif isinstance(m, nn.Linear):
                n = m.weight.size(1)
                m.weight.data.normal_(0, math.sqrt(1.0 / n))
                m.bias.data.zero_()


def make_layers(cfg, batch_norm=False):
    layers = []
    in_channels = 3
    for v in cfg:
        if v == "M":
            layers += [nn.MaxPool2d(kernel_size=2, stride=2)]
        elif v == "A":
            layers += [nn.AvgPool2d(2, ceil_mode=True)]
        else:
            conv2d = nn.Conv2d(in_channels, v, kernel_size=3, padding=1)
            if batch_norm:
                layers += [conv2d, nn.BatchNorm2d(v), nn.ReLU(inplace=True)]
            else:
                layers += [conv2d, nn.ReLU(inplace=True)]
            in_channels = v
    return nn.Sequential(*layers), in_channels


def make_model(args):
    return VGG(*make_layers(cfg[args.arch], args.batch_norm))


class AverageMeter:
    def __init__(self):
        self.reset()

    def reset(self):
        self.val = self.avg = self.sum = self.count = 0

    def update(self, val, n=1):
        self.val = val
        self.sum += val * n
        self.count += n
        self.avg = self.sum / self.count


def accuracy(output, target, topk=(1,)):
    """The percentage of labels among the k largest outputs, for each k."""
    with torch.no_grad():
        maxk = max(topk)
        batch_size = target.size(0)
        _, pred = output.topk(maxk, 1, True, True)
        pred = pred.t()
        correct = pred.eq(target.view(1, -1).expand_as(pred))
        res = []
        for k in topk:
            correct_k = correct[:k].reshape(-1).float().sum(0, keepdim=True)
            res.append(correct_k.mul_(100.0 / batch_size))
        return res


def load_data():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 6, 60)
    images = 0.5 * rng.standard_normal((60, 3, 9, 9))
    images[np.arange(60), labels % 3] += np.where(labels < 3, 1, -1)[:, None, None]
    return images.astype(np.float32), labels


def run(loader, model, criterion, optimizer, losses):
    meter, top1, top2 = AverageMeter(), AverageMeter(), AverageMeter()
    for input, target in loader:
        if optimizer is None:
            with torch.no_grad():
                output = model(input)
                loss = criterion(output, target)
        else:
            output = model(input)
            loss = criterion(output, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        prec1, prec2 = accuracy(output.data, target, topk=(1, 2))
        meter.update(loss.item(), input.size(0))
        top1.update(prec1.item(), input.size(0))
        top2.update(prec2[0].item(), input.size(0))
    print(f" * Loss {meter.avg:.4f} Prec@1 {top1.avg:.3f} Prec@2 {top2.avg:.3f}")
    return top1.avg


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--arch", "-a", choices=sorted(cfg), default="B")
    parser.add_argument("--batch-norm", action="store_true")
    parser.add_argument("--epochs", default=3, type=int)
    parser.add_argument("--lr", default=0.02, type=float)
    args = parser.parse_args(argv)

    end = time.time()
    model = make_model(args)
    print(model)
    print("parameters:", sum(p.numel() for p in model.parameters() if p.requires_grad))
    images, labels = (torch.tensor(array) for array in load_data())
    dataset = torch.utils.data.TensorDataset(images, labels)
    train_set = torch.utils.data.Subset(dataset, range(45))
    val_set = torch.utils.data.Subset(dataset, range(45, 60))
    train_loader = torch.utils.data.DataLoader(train_set, batch_size=15)
    val_loader = torch.utils.data.DataLoader(val_set, batch_size=8)
    criterion = nn.CrossEntropyLoss(weight=torch.ones(6).type_as(images))
    optimizer = torch.optim.SGD(
        model.parameters(), args.lr, momentum=0.9, weight_decay=1e-4, nesterov=True
    )
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[2], gamma=0.1)
    losses, accuracies = [], []
    for _ in range(args.epochs):
        model.train()
        run(train_loader, model, criterion, optimizer, losses)
        model.eval()
        accuracies.append(run(val_loader, model, criterion, None, losses))
        scheduler.step()
        print("lr: ", scheduler.get_last_lr())
    assert time.time() >= end
    return losses, accuracies


if __name__ == "__main__":
    main()
