"""Small photos: residual blocks, momentum and decay, a cosine, the best epoch as a checkpoint."""

import argparse
import os

import numpy as np
import torch
import torch.backends.cudnn as cudnn
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

device = "cuda" if torch.cuda.is_available() else "cpu"
best_acc = 0
start_epoch = 0


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, in_planes, planes, stride=1):
        super(BasicBlock, self).__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_planes != self.expansion * planes:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_planes, self.expansion * planes, 1, stride=stride, bias=False),
                nn.BatchNorm2d(self.expansion * planes),
            )

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class ResNet(nn.Module):
    def __init__(self, block, num_blocks, num_classes=10):
        super(ResNet, self).__init__()
        self.in_planes = 6
        self.conv1 = nn.Conv2d(3, 6, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.layer1 = self._make_layer(block, 6, num_blocks[0], stride=1)
        self.layer2 = self._make_layer(block, 12, num_blocks[1], stride=2)
        self.linear = nn.Linear(12 * block.expansion, num_classes)

    def _make_layer(self, block, planes, num_blocks, stride):
        strides = [stride] + [1] * (num_blocks - 1)
        layers = []
        for stride in strides:
            layers.append(block(self.in_planes, planes, stride))
            self.in_planes = planes * block.expansion
        return nn.Sequential(*layers)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer1(out)
        out = self.layer2(out)
        out = F.avg_pool2d(out, 4)
        out = out.view(out.size(0), -1)
        return self.linear(out)


def make_model(args):
    return ResNet(BasicBlock, [1, 2])


def load_data():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 10, 72)
    images = 0.5 * rng.standard_normal((72, 3, 8, 8))
    images[np.arange(72), labels % 3, labels // 2] += 2
    return images.astype(np.float32), labels


def train(epoch, net, trainloader, criterion, optimizer, losses):
    print("\nEpoch: %d" % epoch)
    net.train()
    train_loss = 0
    correct = 0
    total = 0
    for batch_idx, (inputs, targets) in enumerate(trainloader):
        inputs, targets = inputs.to(device), targets.to(device)
        optimizer.zero_grad()
        outputs = net(inputs)
        loss = criterion(outputs, targets)
        loss.backward()
        optimizer.step()

        losses.append(loss.item())
        train_loss += loss.item()
        _, predicted = outputs.max(1)
        total += targets.size(0)
        correct += predicted.eq(targets).sum().item()
        print(
            "Loss: %.3f | Acc: %.3f%% (%d/%d)"
            % (train_loss / (batch_idx + 1), 100.0 * correct / total, correct, total)
        )


def test(epoch, net, testloader, criterion, folder):
    global best_acc
    net.eval()
    test_loss = 0
    correct = 0
    total = 0
    with torch.no_grad():
        for inputs, targets in testloader:
            inputs, targets = inputs.to(device), targets.to(device)
            outputs = net(inputs)
            loss = criterion(outputs, targets)
            test_loss += loss.item()
            _, predicted = torch.max(outputs.data, 1)
            total += targets.size(0)
            correct += (predicted == targets).sum().item()
    acc = 100.0 * correct / total
    print("Test loss: %.3f, Acc: %.3f%%" % (test_loss, acc))
    if acc > best_acc:
        print("Saving..")
        state = {"net": net.state_dict(), "acc": acc, "epoch": epoch}
        os.makedirs(folder, exist_ok=True)
        torch.save(state, os.path.join(folder, "ckpt.pth"))
        best_acc = acc
    return acc


def main(argv=None):
    global best_acc, start_epoch
    parser = argparse.ArgumentParser(description="CIFAR-10 training")
    parser.add_argument("--lr", default=0.1, type=float, help="learning rate")
    parser.add_argument("--epochs", default=3, type=int)
    parser.add_argument("--resume", "-r", action="store_true", help="resume from checkpoint")
    parser.add_argument("--folder", default="checkpoint")
    args = parser.parse_args(argv)

    images, labels = load_data()
    images, labels = torch.from_numpy(images), torch.from_numpy(labels)
    trainset = torch.utils.data.TensorDataset(images[:48], labels[:48])
    testset = torch.utils.data.TensorDataset(images[48:], labels[48:])
    trainloader = torch.utils.data.DataLoader(
        trainset, batch_size=16, shuffle=False, num_workers=0, drop_last=True
    )
    testloader = torch.utils.data.DataLoader(testset, batch_size=10, shuffle=False)

    net = make_model(args)
    net = net.to(device)
    if device == "cuda":
        cudnn.benchmark = True
    if args.resume:
        print("==> Resuming from checkpoint..")
        assert os.path.isdir(args.folder), "Error: no checkpoint directory found!"
        checkpoint = torch.load(os.path.join(args.folder, "ckpt.pth"), map_location=device)
        net.load_state_dict(checkpoint["net"])
        best_acc = checkpoint["acc"]
        start_epoch = checkpoint["epoch"] + 1

    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(net.parameters(), lr=args.lr, momentum=0.9, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=200)
    losses, accuracies = [], []
    for epoch in range(start_epoch, start_epoch + args.epochs):
        train(epoch, net, trainloader, criterion, optimizer, losses)
        accuracies.append(test(epoch, net, testloader, criterion, args.folder))
        scheduler.step()
    print(f"best {best_acc:.2f}, learning rate {optimizer.param_groups[0]['lr']:.6f}")
    return losses, accuracies


if __name__ == "__main__":
    main()
