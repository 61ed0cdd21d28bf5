"""Transfer: a backbone from a file, frozen; a new head by Adam; phases of training and validation;
the learning rate falls when the validation stands still; the best weights are kept."""

import argparse
import copy
import os

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim
from torch.optim import lr_scheduler


class Backbone(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=2, padding=2),
            nn.GroupNorm(2, 8),
            nn.LeakyReLU(0.1),
            nn.Conv2d(8, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ELU(),
        )
        self.fc = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.features(x)
        x = torch.mean(x, dim=(-2, -1))
        return self.fc(x)


def make_model(args):
    return Backbone(5)


def make_head(args, features):
    return nn.Sequential(nn.Linear(features, 8), nn.Tanh(), nn.Linear(8, 3))


def load_data():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 50)
    images = rng.random((50, 3, 12, 12))
    images[np.arange(50), labels] += 0.5
    return images.astype(np.float32), labels


def train_model(model, loaders, criterion, optimizer, scheduler, args, losses):
    best_model_wts = copy.deepcopy(model.state_dict())
    best_acc = 0.0
    history = []
    for epoch in range(args.epochs):
        print(f"Epoch {epoch}/{args.epochs - 1}")
        for phase in ["train", "val"]:
            if phase == "train":
                model.train()
            else:
                model.eval()
            running_loss = 0.0
            running_corrects = 0
            for inputs, labels in loaders[phase]:
                inputs = inputs.to(args.device)
                labels = labels.to(args.device)
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    outputs = model(inputs)
                    _, preds = torch.max(outputs, 1)
                    loss = criterion(outputs, labels)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                        losses.append(loss.item())
                running_loss += loss.item() * inputs.size(0)
                running_corrects += torch.sum(preds == labels.data)
            epoch_loss = running_loss / len(loaders[phase].dataset)
            epoch_acc = running_corrects.double() / len(loaders[phase].dataset)
            print(f"{phase} Loss: {epoch_loss:.4f} Acc: {epoch_acc:.4f}")
            if phase == "val":
                history.append(epoch_acc.item())
                scheduler.step(epoch_loss)
                if epoch_acc > best_acc:
                    best_acc = epoch_acc
                    best_model_wts = copy.deepcopy(model.state_dict())
    print(f"Best val Acc: {best_acc:4f}")
    model.load_state_dict(best_model_wts)
    return history


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--folder", default=".")
    args = parser.parse_args(argv)
    args.device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")

    images, labels = load_data()
    mean = torch.tensor(images.mean((0, 2, 3)))
    std = torch.tensor(images.std((0, 2, 3)))
    images = (torch.as_tensor(images) - mean[None, :, None, None]) / std[None, :, None, None]
    labels = torch.as_tensor(labels, dtype=torch.long)
    sets = {
        "train": torch.utils.data.TensorDataset(images[:36], labels[:36]),
        "val": torch.utils.data.TensorDataset(images[36:], labels[36:]),
    }
    loaders = {name: torch.utils.data.DataLoader(part, batch_size=9) for name, part in sets.items()}

    path = os.path.join(args.folder, "backbone.pt")
    torch.save({"state_dict": make_model(args).state_dict(), "arch": "backbone"}, path)
    model = Backbone(5)
    pretrained = torch.load(path, map_location="cpu")["state_dict"]
    pretrained = {k: v.to(images.dtype) for k, v in pretrained.items() if not k.startswith("fc.")}
    model.to(images.dtype)
    missing, unexpected = model.load_state_dict(pretrained, strict=False)
    print("missing:", missing, "unexpected:", unexpected)

    for param in model.parameters():
        param.requires_grad_(False)
    model.fc = make_head(args, model.fc.in_features)
    model = model.to(args.device)
    trained = [p for p in model.parameters() if p.requires_grad]
    print("trained:", sum(p.numel() for p in trained))
    optimizer = optim.Adam(filter(lambda p: p.requires_grad, model.parameters()), lr=0.05)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, mode="min", factor=0.1, patience=0)
    losses = []
    accuracies = train_model(
        model, loaders, nn.CrossEntropyLoss(), optimizer, scheduler, args, losses
    )
    print("lr:", optimizer.param_groups[0]["lr"])

    seen = {}
    handle = model.features[-1].register_forward_hook(
        lambda module, args, output: seen.update(features=output.detach())
    )
    model.eval()
    with torch.inference_mode():
        probability = torch.nn.functional.softmax(model(images[36:]), dim=1)
    handle.remove()
    top, classes = probability.topk(2, dim=1)
    print(classes.cpu().numpy().tolist(), top.sum(1).mean().item() > 0.5)
    print(list(seen["features"].shape), "%.6f" % seen["features"].norm().item())
    return losses, accuracies


if __name__ == "__main__":
    main()
